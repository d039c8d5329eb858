package logs

import (
	"encoding/json"
	"time"
)

// The streams of a [Line].
const (
	Stdout = "stdout"
	Stderr = "stderr"
	// Remark is what the launcher itself says about a daemon.
	Remark = "panteras"
)

// Line is one line that a daemon wrote, or a piece of one that was too long.
type Line struct {
	Time   time.Time `json:"time"`
	Daemon string    `json:"daemon"`
	// Stream is Stdout, Stderr or Remark.
	Stream string `json:"stream"`
	// Text is masked and printable, and holds no line break.
	Text string `json:"text"`
}

// String is the line without its daemon, as the log file has it: a daemon's lines as
// they are, because most hold a time, and remarks with theirs.
func (l Line) String() string {
	if l.Stream == Remark {
		return l.Time.UTC().Format(time.RFC3339) + " panteras: " + l.Text
	}
	return l.Text
}

// appendText is the line in the log file, appendConsole the one on the console.
func (l Line) appendText(b []byte) []byte { return append(append(b, l.String()...), '\n') }

func (l Line) appendConsole(b []byte) []byte {
	b = append(append(b, l.Daemon...), " | "...)
	if l.Stream == Remark {
		b = append(b, "panteras: "...)
	}
	return append(append(b, l.Text...), '\n')
}

// appendJSON is the line in both when LOG_FORMAT is json.
func (l Line) appendJSON(b []byte) []byte {
	text, err := json.Marshal(l)
	if err != nil { // a year beyond 9999
		return l.appendText(b)
	}
	return append(append(b, text...), '\n')
}
