package configs

import (
	"strings"
	"testing"
)

// FuzzFile reads arbitrary files: reading never panics, every problem names the
// file, and a value never comes out of something a shell would have to execute.
func FuzzFile(f *testing.F) {
	for _, test := range accepted {
		f.Add(test.file)
	}
	for _, file := range []string{
		"K=$(touch x)", "K=`touch x`", "K=a b", "\xef\xbb\xbfK=1\r\n", "K='", "K=\"${", "K=\\", "export", "export K", "K=$K", "K+=1", "K=(1",
		"K=\x00", "K=\xff\xfe", "K=1 <<E\nx\nE\n", "f(){ :; }; f", "K=$((1))", "K=${K}${K}", "K=~", "K=\"\\\n\"", "a[$(touch x)]=1", "K=$[1]", "0=[", "0&00\x9c", "K=1 # a \\\nL=2",
	} {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file string) {
		p := newFileParser(nil)
		found := p.parse("name", []byte(file))
		for _, problem := range p.problems {
			if !strings.HasPrefix(problem.Error(), "name:") {
				t.Errorf("a problem does not name the file: %v", problem)
			}
		}
		for _, a := range found {
			if !isKey(a.key) && a.key != "_" {
				t.Errorf("the key %q cannot be a setting", a.key)
			}
			if a.line == 0 || int(a.line) > strings.Count(file, "\n")+1 {
				t.Errorf("%s stands on line %d of %q", a.key, a.line, file)
			}
		}
		// Without an environment the values can hold nothing but pieces of the file.
		total := 0
		for _, a := range found {
			for _, line := range strings.Split(a.value, "\n") {
				total += len(line)
			}
		}
		if !strings.Contains(file, "$") && total > len(file) {
			t.Errorf("%d bytes of values came out of %d bytes without references", total, len(file))
		}
	})
}
