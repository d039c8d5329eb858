package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"panteras/configs"
	"panteras/launcher/control"
	"panteras/launcher/logs"
	"panteras/launcher/proc"
	"panteras/launcher/supervisor"
)

// handOverVariable is the descriptor of a file in memory that holds a [handOver].
const handOverVariable = "PANTERAS_HANDOVER"

// HandOverVersion is the format of what one program leaves to the next. A program of
// another version cannot take over.
const HandOverVersion = 1

// handOver is what the launcher leaves to the program that it becomes.
type handOver struct {
	Version  int                       `json:"version"`
	Snapshot *supervisor.Snapshot      `json:"snapshot"`
	Handles  map[string]handle         `json:"handles"`
	Sockets  map[string][]handedSocket `json:"sockets"`
	Missing  map[string]bool           `json:"missing"`
	Logs     []logs.Handover           `json:"logs"`
	// RunDir and StateDir are where daemons have what they write; see [fixed]. Programs
	// before they were handed over left none.
	RunDir   string `json:"run_dir,omitempty"`
	StateDir string `json:"state_dir,omitempty"`
	// Control and Status are the listeners of the control socket and of STATUS_LISTEN;
	// -1 is none.
	Control int `json:"control"`
	Status  int `json:"status"`

	files []*os.File // the descriptors in it
}

// checkTime bounds the look at a program before it takes over.
const checkTime = 10 * time.Second

// checkProgram says why a program cannot take over from this one.
func checkProgram(ctx context.Context, path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%s is no absolute path", path)
	}
	if _, err := proc.LookUp(path, ""); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	output, err := exec.CommandContext(ctx, path, "version", "--json").Output()
	if err != nil {
		return fmt.Errorf("%s is no panteras that can take over (`%s version --json`: %w)", path, path, err)
	}
	var info struct {
		HandOver int `json:"hand_over"`
	}
	if err := json.Unmarshal(output, &info); err != nil || info.HandOver != HandOverVersion {
		return fmt.Errorf("%s cannot take over: it knows version %d of the hand-over, this program %d; stop the launcher and start that one", path, info.HandOver, HandOverVersion)
	}
	return nil
}

// Upgrade makes the launcher become the program at path, and
// its daemons go on as they are.
func (h commands) Upgrade(ctx context.Context, path string) error {
	if err := errors.Join(checkProgram(ctx, path), h.checkSettings()); err != nil {
		return fmt.Errorf("%w: %w", control.ErrRefused, err)
	}
	select {
	case h.upgrades <- path:
		return nil
	default:
		return fmt.Errorf("%w: an upgrade is under way", control.ErrRefused)
	}
}

// checkSettings says why the settings, as they are now, are none for the next program.
func (h *Host) checkSettings() error {
	loaded, plan := h.look()
	if err := plan.Err(); err != nil {
		return fmt.Errorf("the settings are wrong, and the next program would read them: %w", err)
	}
	return fixed(h.settings(), &loaded.Settings)
}

// keepFolders puts the folders of what runs back into settings that have others.
func (o *handOver) keepFolders(s *configs.Settings) error {
	old := *s
	if o.RunDir != "" {
		old.RunDir = o.RunDir
	}
	if o.StateDir != "" {
		old.StateDir = o.StateDir
	}
	err := fixed(&old, s)
	s.RunDir, s.StateDir = old.RunDir, old.StateDir
	return err
}

// upgradeWait is how long an upgrade waits for daemons that are being stopped.
const upgradeWait = time.Minute

// become is the upgrade; it only returns with an error, and then everything goes on as
// before. A signal that still waits, or whose reload does, goes back to the guard, which
// keeps it for the new program.
func (h *Host) become(stopping context.Context, path string, reloads <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(stopping, upgradeWait)
	defer cancel()
	// The guard first: it keeps signals back until the new program listens.
	if err := h.o.Link.Upgrade(ctx, path); err != nil {
		return err
	}
	defer h.o.Link.Ready() // if this one goes on
	return h.supervisor.HandOver(ctx, func(snap *supervisor.Snapshot) error {
		h.o.Log.Info("becoming another program; daemons go on", "program", path)
		left, err := h.leave(snap)
		waits := h.asked.Load()
		select {
		case <-reloads:
			waits = true
		default:
		}
		if waits {
			err = errors.Join(err, unix.Kill(os.Getppid(), unix.SIGHUP))
		}
		err = errors.Join(err, stopping.Err())
		if err == nil {
			err = h.exec(path, left)
		}
		// The pipes were given away: they are read on here.
		for _, l := range left.Logs {
			err = errors.Join(err, h.logs.Adopt(l))
		}
		for _, d := range snap.Daemons {
			if p, ok := d.Process.(*process); ok {
				err = errors.Join(err, p.takeBack(left.Handles[d.Plan.Name]))
			}
		}
		return err
	})
}

// leave collects everything for the next program.
func (h *Host) leave(snap *supervisor.Snapshot) (*handOver, error) {
	settings := h.settings()
	left := &handOver{
		Version: HandOverVersion, Snapshot: snap, Handles: map[string]handle{}, Control: -1, Status: -1,
		RunDir: settings.RunDir, StateDir: settings.StateDir,
	}
	left.Sockets, left.files = h.sockets.handOver()
	left.Missing = h.sockets.missing
	for _, d := range snap.Daemons {
		p, ok := d.Process.(*process)
		if !ok {
			continue
		}
		handle, err := p.handOver()
		if err != nil {
			return left, err
		}
		left.Handles[d.Plan.Name] = handle
		if handle.file != nil {
			left.files = append(left.files, handle.file)
		}
	}
	socket := h.socket()
	for _, l := range []struct {
		listener interface{ File() (*os.File, error) }
		fd       *int
		open     bool
	}{{socket, &left.Control, socket != nil}, {h.status, &left.Status, h.status != nil}} {
		if !l.open {
			continue
		}
		file, err := l.listener.File()
		if err != nil {
			return left, err
		}
		left.files = append(left.files, file)
		*l.fd = int(file.Fd())
	}
	var err error
	left.Logs, err = h.logs.Detach()
	return left, err
}

// exec becomes the program.
func (h *Host) exec(path string, left *handOver) error {
	text, err := json.Marshal(left)
	if err != nil {
		return err
	}
	// In memory, because it holds secrets.
	fd, err := unix.MemfdCreate("panteras-handover", unix.MFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "handover")
	defer file.Close()
	if _, err := file.Write(text); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for _, l := range left.Logs {
		for _, p := range l.Pipes {
			if _, err := unix.FcntlInt(uintptr(p.FD), unix.F_SETFD, 0); err != nil {
				return err
			}
		}
	}
	env := append(slices.Clone(h.o.Env), h.o.Link.Env(), handOverVariable+"="+strconv.Itoa(fd))
	return proc.Exec(path, h.o.Args, env, append(left.files, file, h.o.Link.File()))
}

// inheritance reads what an older program left; nil if there is nothing.
func inheritance() (*handOver, error) {
	text, ok := os.LookupEnv(handOverVariable)
	if !ok {
		return nil, nil
	}
	os.Unsetenv(handOverVariable)
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s=%q is no descriptor; unset it", handOverVariable, text)
	}
	file := inheritedFile(fd, "handover")
	defer file.Close()
	var left handOver
	if err := json.NewDecoder(file).Decode(&left); err != nil {
		return nil, fmt.Errorf("%s=%q: %w; unset it", handOverVariable, text, err)
	}
	return &left, nil
}

// inheritedFile is a descriptor from before an execve; the next one closes it.
func inheritedFile(fd int, name string) *os.File {
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}
