package logs

import (
	"bytes"
	"unicode/utf8"
)

const (
	// maxLine is where a longer line is cut, in bytes.
	maxLine = 16 << 10
	// maxSecret is how long a secret may be, in bytes, to be masked where a line is cut.
	maxSecret = 4 << 10
)

// splitter makes lines of what a pipe brings.
type splitter struct {
	mask    func(string) string
	pending []byte // begins a line that has not ended
}

// add takes what was read and passes on the lines that it completes.
func (s *splitter) add(b []byte, emit func(text string)) {
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			break
		}
		s.pending = append(s.pending, b[:end]...)
		s.flush(emit)
		b = b[end+1:]
	}
	s.pending = append(s.pending, b...)
	s.cut(emit)
}

// flush ends the pending line; one that is empty counts as well.
func (s *splitter) flush(emit func(text string)) {
	s.cut(emit)
	emit(s.shown(bytes.TrimSuffix(s.pending, []byte("\r"))))
	s.pending = s.pending[:0]
	if cap(s.pending) > 4*maxLine {
		s.pending = nil
	}
}

// cut passes on pieces of a pending line that is too long. So much is held back that
// a secret is seen as a whole.
func (s *splitter) cut(emit func(text string)) {
	for len(s.pending) > maxLine+maxSecret {
		at := s.place()
		emit(s.shown(s.pending[:at]))
		s.pending = append(s.pending[:0], s.pending[at:]...)
	}
}

// place is where to cut: at the end of a character, and not within a secret, which
// shows in that the parts are masked differently from the whole.
func (s *splitter) place() int {
	around := s.pending[:maxLine+maxSecret]
	at := maxLine
	for at > maxLine-utf8.UTFMax && !utf8.RuneStart(around[at]) {
		at--
	}
	whole := s.mask(string(around))
	for step := 1; at-step > maxLine/4; step *= 2 {
		if s.mask(string(around[:at]))+s.mask(string(around[at:])) == whole {
			return at
		}
		at -= step
	}
	// Secrets one behind the other as far as one can see: all of it is shown masked.
	return len(around)
}

func (s *splitter) shown(b []byte) string {
	return Printable(s.mask(string(b)))
}
