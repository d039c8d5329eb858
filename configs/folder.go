package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// The folder of the settings files where none is given: the first that exists.
const (
	localDir  = "restricted"
	systemDir = "/etc/panteras"
)

// fileNames are the settings files from low to high precedence. A file env beside
// them holds variables for daemons and no settings.
var fileNames = []string{"common", "host", "overwrite"}

// chooseDir settles which folder is read. Only a folder that was asked for by
// name must exist.
func chooseDir(src Sources) (string, error) {
	if !src.DirGiven {
		if src.Dir != "" {
			return src.Dir, nil
		}
		if info, err := os.Stat(localDir); err == nil && info.IsDir() {
			return localDir, nil
		}
		return systemDir, nil
	}
	const advice = "create it, or give another one with --restricted"
	if src.Dir == "" {
		return "", errors.New("--restricted is empty; give the folder that holds the settings files")
	}
	info, err := os.Stat(src.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return src.Dir, fmt.Errorf("the settings folder %s does not exist; %s", src.Dir, advice)
	case err != nil:
		return src.Dir, fmt.Errorf("cannot use the settings folder %s: %w", src.Dir, err)
	case !info.IsDir():
		return src.Dir, fmt.Errorf("%s is not a folder; give the folder that holds the settings files with --restricted", src.Dir)
	}
	return src.Dir, nil
}

// readFile returns a settings file's content; a file that is not there is empty.
func readFile(path string) ([]byte, error) {
	// Opening a FIFO would wait for a writer, so look before opening.
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("cannot read the settings file %s: %w", path, errors.Unwrap(err))
	case info.IsDir():
		return nil, fmt.Errorf("cannot read the settings file %s: it is a directory; move it away", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("cannot read the settings file %s: it is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the settings file %s: %w; make it readable for this user", path, errors.Unwrap(err))
	}
	defer file.Close()
	const largest = 1 << 20
	content, err := io.ReadAll(io.LimitReader(file, largest+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the settings file %s: %w", path, errors.Unwrap(err))
	}
	if len(content) > largest {
		return nil, fmt.Errorf("cannot read the settings file %s: it is larger than 1 MiB, which no settings file is", path)
	}
	return content, nil
}

// readFiles reads and parses the files of a folder into one layer each, lowest
// first.
func readFiles(dir string, p *fileParser) []layer {
	var layers []layer
	for _, name := range fileNames {
		path := filepath.Join(dir, name)
		content, err := readFile(path)
		if err != nil {
			p.problems = append(p.problems, err)
			continue
		}
		l := layer{}
		for _, a := range p.parse(path, content) {
			l[a.key] = given{name: a.key, raw: a.value, origin: fmt.Sprintf("%s:%d", path, a.line)}
		}
		layers = append(layers, l)
	}
	return layers
}
