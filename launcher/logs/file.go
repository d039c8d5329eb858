package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// How a log file is rotated.
const (
	fileMegabytes = 10
	fileBackups   = 5
	fileDays      = 30
	fileMode      = 0o640
)

const (
	// retryAfter is how long a file that cannot be written is left alone.
	retryAfter = 2 * time.Second
	// lookAfter is how often a file is looked at: somebody may have moved it away.
	lookAfter = 2 * time.Second
)

// file is the log file of one daemon. Only its queue's goroutine uses it.
type file struct {
	daemon  string
	logs    *Logs
	path    string
	rotated lumberjack.Logger

	missing int       // lines that are not in the file since the last one that is
	torn    bool      // the last line was written in part
	failed  time.Time // when writing failed; zero if it did not
	looked  time.Time
}

func (l *Logs) newFile(daemon string) *file {
	path := filepath.Join(l.options.Dir, daemon+".log")
	return &file{
		daemon: daemon, logs: l, path: path,
		rotated: lumberjack.Logger{Filename: path, MaxSize: fileMegabytes, MaxBackups: fileBackups, MaxAge: fileDays, Compress: true},
	}
}

// write appends lines, or counts them as missing.
func (f *file) write(text []byte, lines, dropped int) {
	f.missing += dropped
	if !f.failed.IsZero() && time.Since(f.failed) < retryAfter {
		f.miss(lines)
		return
	}
	if err := f.append(text); err != nil {
		f.miss(lines)
		f.failed = time.Now()
		_ = f.rotated.Close() // to be opened anew
		f.logs.trouble.begin(f.daemon, err)
		return
	}
	f.missing, f.failed = 0, time.Time{}
	f.logs.trouble.end(f.daemon)
}

func (f *file) miss(lines int) {
	f.missing += lines
	f.logs.trouble.miss(lines)
}

func (f *file) append(text []byte) error {
	if err := f.ensure(); err != nil {
		return err
	}
	if f.missing > 0 {
		line := Line{Time: f.logs.now(), Daemon: f.daemon, Stream: Remark, Text: fmt.Sprintf("%d lines are missing here: they could not be written", f.missing)}
		note := line.appendText
		if f.logs.json {
			note = line.appendJSON
		}
		text = append(note(nil), text...)
	}
	if f.torn {
		text = append([]byte{'\n'}, text...)
	}
	n, err := f.rotated.Write(text)
	if n > 0 {
		f.torn = n < len(text) && text[n-1] != '\n'
	}
	return err
}

// ensure makes folder and file, because the library would make them for others to
// read or for nobody, and lets go of a file that was moved away.
func (f *file) ensure() error {
	if f.failed.IsZero() && time.Since(f.looked) < lookAfter {
		return nil
	}
	f.looked = time.Now()
	if _, err := os.Lstat(f.path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = f.rotated.Close()
	f.torn = false
	if err := os.MkdirAll(filepath.Dir(f.path), 0o750); err != nil {
		return err
	}
	made, err := os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, fileMode)
	if err != nil {
		return err
	}
	return errors.Join(made.Chmod(fileMode), made.Close())
}
