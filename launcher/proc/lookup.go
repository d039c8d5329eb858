package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// LookUp finds the file to execute for a program, in the folders of a PATH unless it is
// a path itself. The error wraps [ErrAbsent] if there is none.
func LookUp(program, path string) (string, error) {
	if strings.Contains(program, "/") {
		return program, executable(program)
	}
	var unfit error
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		file := filepath.Join(dir, program)
		err := executable(file)
		if err == nil {
			return file, nil
		}
		if unfit == nil && !errors.Is(err, ErrAbsent) {
			unfit = err
		}
	}
	if unfit != nil {
		return "", unfit
	}
	return "", fmt.Errorf("%s is %w: it is in none of the folders of PATH=%s", program, ErrAbsent, path)
}

// executable tells why a file cannot be a program.
func executable(file string) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s is %w", file, ErrAbsent)
	case err != nil:
		return fmt.Errorf("cannot run %s: %w", file, errors.Unwrap(err))
	case info.IsDir():
		return fmt.Errorf("cannot run %s: it is a folder", file)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("cannot run %s: it is not executable; mend it with: chmod +x %s", file, file)
	}
	return nil
}

// Credential is the user to become; nil is the one that runs this.
func Credential(name string) (*syscall.Credential, error) {
	if name == "" {
		return nil, nil
	}
	uid, gid, groups, err := Account(name)
	if err != nil {
		return nil, err
	}
	own := os.Geteuid()
	if int(uid) == own {
		return nil, nil
	}
	if own != 0 {
		return nil, fmt.Errorf("cannot become user %s: only root can; run panteras as root or set the daemon's user to %d", name, own)
	}
	return &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}, nil
}

// Account looks a user up by name or number. A number that has no name stands for a
// group as well.
func Account(name string) (uid, gid uint32, groups []uint32, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		number, notNumber := strconv.ParseUint(name, 10, 32)
		if notNumber != nil {
			return 0, 0, nil, fmt.Errorf("there is no user %s on this host; mend it with: useradd --system %s", name, name)
		}
		if u, err = user.LookupId(name); err != nil {
			return uint32(number), uint32(number), nil, nil
		}
	}
	ids, err := u.GroupIds()
	if err != nil {
		return 0, 0, nil, fmt.Errorf("cannot tell the groups of user %s: %w", name, err)
	}
	numbers := make([]uint32, 0, len(ids)+2)
	for _, id := range append([]string{u.Uid, u.Gid}, ids...) {
		number, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return 0, 0, nil, fmt.Errorf("user %s has %q for a number in /etc/passwd or /etc/group", name, id)
		}
		numbers = append(numbers, uint32(number))
	}
	return numbers[0], numbers[1], numbers[2:], nil
}

// missing tells which capabilities this process does not have and so cannot give.
func missing(caps []uintptr) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("cannot read capabilities: %w", err)
	}
	var names []string
	for _, c := range caps {
		if data[c/32].Permitted&(1<<(c%32)) == 0 {
			names = append(names, capName(c))
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		list := strings.Join(names, ", ")
		return fmt.Errorf("it needs %s, which panteras itself does not have; in a container, add --cap-add=%s",
			list, strings.TrimPrefix(names[0], "CAP_"))
	}
	return nil
}

// capName names the capabilities that daemons of this program need.
func capName(c uintptr) string {
	switch c {
	case unix.CAP_NET_ADMIN:
		return "CAP_NET_ADMIN"
	case unix.CAP_NET_BIND_SERVICE:
		return "CAP_NET_BIND_SERVICE"
	case unix.CAP_NET_RAW:
		return "CAP_NET_RAW"
	}
	return fmt.Sprintf("capability %d", c)
}
