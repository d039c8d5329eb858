package configs

import (
	"errors"
	"regexp"
)

// interfaceText is what Linux, wg-quick and nft all take for the name of an interface.
var interfaceText = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$`)

// interfaceName is the name of a network interface.
var interfaceName = codec[string]{
	name: "name",
	parse: func(text string) (string, error) {
		if !interfaceText.MatchString(text) {
			return "", errors.New("must be the name of a network interface: at most 15 letters, digits, dots, - and _")
		}
		return text, nil
	},
	format: plain,
}
