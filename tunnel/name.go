package tunnel

import (
	"errors"
	"fmt"
)

// maxName is how long names of peers and gateways may be. A host's name has at
// most 63 characters up to its first dot.
const maxName = 63

// CheckPeerName accepts names that mean nothing to a shell, a path, a
// configuration file or a terminal: letters, digits, and - _ . inside.
func CheckPeerName(name string) error { return checkName("peer", name) }

// CheckGatewayName accepts the same; a gateway is called as its host is.
func CheckGatewayName(name string) error { return checkName("gateway", name) }

func checkName(what, name string) error {
	if name == "" {
		return errors.New("a " + what + " needs a name")
	}
	if len(name) > maxName {
		return fmt.Errorf("the name of a %s has at most %d characters, not %d", what, maxName, len(name))
	}
	for i := range len(name) {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		inner := i > 0 && i < len(name)-1 && (c == '-' || c == '_' || c == '.')
		if !alnum && !inner {
			return fmt.Errorf("%q cannot be the name of a %s: letters and digits, and - _ . between them, are allowed", name, what)
		}
	}
	return nil
}
