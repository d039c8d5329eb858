package logs

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable makes a text harmless to a terminal and to a reader of lines: what is no
// UTF-8, control characters but the tab, and those that break lines or turn the
// direction of writing are shown as escapes such as \x1b.
func Printable(text string) string {
	clean := true
	for _, r := range text {
		if harmful(r) || r == utf8.RuneError {
			clean = false
			break
		}
	}
	if clean {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case !harmful(r):
			b.WriteString(text[i : i+size])
		case r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += size
	}
	return b.String()
}

// harmful tells whether a character does something instead of showing something.
func harmful(r rune) bool {
	switch {
	case r >= ' ' && r < 0x7f || r == '\t':
		return false
	case r == 0x2028 || r == 0x2029: // line and paragraph separator
		return true
	case r == 0x200e || r == 0x200f || r == 0x61c || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069: // direction
		return true
	}
	return unicode.IsControl(r)
}
