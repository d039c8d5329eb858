package client

import (
	"fmt"
	"hash/fnv"
	"path/filepath"
	"regexp"
	"strings"
)

// interfacePattern is what wg-quick and the apps take for the name of a tunnel: the
// file's name without its suffix.
var interfacePattern = regexp.MustCompile(`^[a-zA-Z0-9_=+.-]{1,15}$`)

const suffix = ".conf"

// FileName is a name for the file of a peer: its own, or a short one if that
// cannot be the name of an interface.
func FileName(name string) string { return shorten(name) + suffix }

// FilePath is the file that is written where an operator asks for path: the same,
// unless it could not be the name of an interface.
func FilePath(path string) string {
	dir, file := filepath.Split(path)
	name, isConfig := strings.CutSuffix(file, suffix)
	if !isConfig {
		return path // not for wg-quick
	}
	return dir + shorten(name) + suffix
}

// shorten keeps the beginning of a name, and a trace of the rest, so that names
// that begin alike stay apart.
func shorten(name string) string {
	// wg-quick would take the dot of ".conf" alone for a hidden file.
	if interfacePattern.MatchString(name) && !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "-") {
		return name
	}
	const kept = 10
	var b strings.Builder
	for _, c := range name {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' && b.Len() > 0
		if plain && b.Len() < kept {
			b.WriteRune(c)
		}
	}
	sum := fnv.New32a()
	sum.Write([]byte(name))
	return fmt.Sprintf("%s%05x", b.String(), sum.Sum32()&0xfffff)
}
