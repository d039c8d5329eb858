package configs

import "bytes"

// normalise drops what Windows editors add, a byte order mark and carriage
// returns, and what would mislead the parser. Lines keep their numbers.
func normalise(source []byte) []byte {
	source = bytes.TrimPrefix(source, []byte("\xef\xbb\xbf"))
	source = bytes.ReplaceAll(source, []byte("\r\n"), []byte("\n"))
	if rest, ok := bytes.CutSuffix(source, []byte("\\\n")); ok && (len(rest)-len(bytes.TrimRight(rest, `\`)))%2 == 0 {
		// The shell joins the line with the next one, which there is not; the parser may keep the backslash.
		source = append(bytes.Clone(rest), '\n')
	}
	return endComments(source)
}

// endComments puts a blank in place of a backslash that ends a comment. In the
// shell such a comment ends with its line all the same, but the parser joins
// what follows to what came before, so that `K=1 # a \` would swallow the next
// line. Commented-out lines of a longer value look like that.
//
// It knows quotes, backslashes and comments. Where other constructs mislead it,
// the file is refused for holding them.
func endComments(source []byte) []byte {
	var quote byte    // the quote that is open, or 0
	wordStart := true // a # here begins a comment
	comment := false  // inside a comment
	var result []byte // a copy, made when needed
	for i := 0; i < len(source); i++ {
		c := source[i]
		next := byte(0)
		if i+1 < len(source) {
			next = source[i+1]
		}
		switch {
		case comment:
			if c == '\\' && next == '\n' {
				if result == nil {
					result = bytes.Clone(source)
				}
				result[i] = ' '
			}
			if c == '\n' {
				comment, wordStart = false, true
			}
		case quote == '\'':
			if c == '\'' {
				quote = 0
			}
		case c == '\\':
			i++
			// An escaped newline is as if it were not there.
			if next != '\n' {
				wordStart = false
			}
		case quote == '"':
			if c == '"' {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote, wordStart = c, false
		case c == '#' && wordStart:
			comment = true
		default:
			wordStart = bytes.IndexByte([]byte(" \t\n;&|()<>"), c) >= 0
		}
	}
	if result == nil {
		return source
	}
	return result
}
