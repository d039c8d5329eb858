package configs

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

var boolean = codec[bool]{
	name: "bool",
	parse: func(text string) (bool, error) {
		switch strings.ToLower(text) {
		case "true", "1", "yes":
			return true, nil
		case "false", "0", "no":
			return false, nil
		}
		return false, errors.New("must be true, false, 1, 0, yes or no")
	},
	format: strconv.FormatBool,
}

var port = codec[uint16]{
	name: "port",
	parse: func(text string) (uint16, error) {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return 0, errors.New("must be a port number from 1 to 65535")
		}
		return uint16(n), nil
	},
	format: func(p uint16) string { return strconv.Itoa(int(p)) },
}

// ports is a list of them.
var ports = codec[[]uint16]{
	name: "ports",
	parse: func(text string) ([]uint16, error) {
		var list []uint16
		for _, item := range splitList(text) {
			p, err := port.parse(item)
			if err != nil {
				return nil, errors.New("must list port numbers from 1 to 65535, separated by commas")
			}
			if !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
		if list == nil {
			return nil, errors.New("must list port numbers, separated by commas")
		}
		return list, nil
	},
	format: func(list []uint16) string {
		texts := make([]string, len(list))
		for i, p := range list {
			texts[i] = port.format(p)
		}
		return strings.Join(texts, ",")
	},
}

// number is a whole number of the given unit within bounds.
func number(unit string, low, high int) codec[int] {
	return codec[int]{
		name: "number",
		parse: func(text string) (int, error) {
			n, err := strconv.Atoi(text)
			if err != nil || n < low || n > high {
				return 0, fmt.Errorf("must be a whole number of %s from %d to %d", unit, low, high)
			}
			return n, nil
		},
		format: strconv.Itoa,
	}
}

// choice is one of a few words, in any case.
func choice(words ...string) codec[string] {
	return codec[string]{
		name: strings.Join(words, "|"),
		parse: func(text string) (string, error) {
			for _, w := range words {
				if strings.EqualFold(text, w) {
					return w, nil
				}
			}
			return "", fmt.Errorf("must be %s", oneOf(words))
		},
		format: plain,
	}
}

var dnsMode = choice(DNSModeDirect, DNSModeLB, DNSModeLegacy)

var logLevel = codec[slog.Level]{
	name: "debug|info|warn|error",
	parse: func(text string) (slog.Level, error) {
		switch strings.ToLower(text) {
		case "debug":
			return slog.LevelDebug, nil
		case "info":
			return slog.LevelInfo, nil
		case "warn":
			return slog.LevelWarn, nil
		case "error":
			return slog.LevelError, nil
		}
		return 0, errors.New("must be debug, info, warn or error")
	},
	format: func(l slog.Level) string { return strings.ToLower(l.String()) },
}

// sampling is off, on, or one in N.
var sampling = codec[int]{
	name: "off|on|1/N",
	parse: func(text string) (int, error) {
		switch strings.ToLower(text) {
		case "off":
			return 0, nil
		case "on":
			return 1, nil
		}
		if rate, ok := strings.CutPrefix(text, "1/"); ok {
			if n, err := strconv.ParseUint(rate, 10, 31); err == nil && n > 0 {
				return int(n), nil
			}
		}
		return 0, errors.New("must be off, on, or a sampling rate 1/N such as 1/1000")
	},
	format: func(n int) string {
		switch n {
		case 0:
			return "off"
		case 1:
			return "on"
		}
		return fmt.Sprintf("1/%d", n)
	},
}

// token is opaque text that can stand in an HTTP header.
var token = codec[string]{
	name: "text",
	parse: func(text string) (string, error) {
		if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > unicode.MaxASCII || !unicode.IsPrint(r) }) {
			return "", errors.New("must be printable ASCII without blanks")
		}
		return text, nil
	},
	format: plain,
}

var filePath = codec[string]{
	name: "file",
	parse: func(text string) (string, error) {
		if strings.ContainsRune(text, 0) {
			return "", errors.New("must be the name of a file")
		}
		return text, nil
	},
	format: plain,
}

func plain(text string) string { return text }

// oneOf lists words as "a", "a or b", "a, b or c".
func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
