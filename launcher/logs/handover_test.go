package logs

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"panteras/internal/lab"
)

// TestHandover passes the output of two daemons on several times while they write.
func TestHandover(t *testing.T) {
	t.Parallel()
	dir, console := t.TempDir(), &buffer{}
	l := New(Options{Dir: dir, Console: console})
	stdout, stderr := open(t, l, "consul")
	other, _ := open(t, l, "dns")
	say(t, other, "half a ")
	l.Write("dns", "remark")
	const lines = 5000
	var wg sync.WaitGroup
	for name, f := range map[string]interface{ Write([]byte) (int, error) }{"out": stdout, "err": stderr} {
		wg.Go(func() {
			for i := range lines {
				text := fmt.Sprintf("%s %d é\n", name, i)
				for _, piece := range []string{text[:3], text[3 : len(text)-2], text[len(text)-2:]} { // cuts the é
					if _, err := f.Write([]byte(piece)); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for round := range 5 {
		want := (round + 1) * lines / 10
		lab.Eventually(t, time.Minute, "some lines are read", func() bool { return strings.Count(console.String(), "\n") >= want })
		handed, err := l.Detach()
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(handed)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		l = New(Options{Dir: dir, Console: console})
		handed = nil
		if err := json.Unmarshal(text, &handed); err != nil || len(handed) != 2 {
			t.Fatalf("%d daemons, %v", len(handed), err)
		}
		for _, h := range handed {
			if err := l.Adopt(h); err != nil {
				t.Fatal(err)
			}
		}
		if got := l.Tail("dns", keepLines); len(got) != 1 || got[0].Text != "remark" {
			t.Errorf("in memory is %v", got)
		}
	}
	wg.Wait()
	say(t, other, "line\n")
	_, _, _ = stdout.Close(), stderr.Close(), other.Close()
	lab.Eventually(t, time.Minute, "all pipes have ended", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.pipes) <= 1 // the stderr of dns is open
	})
	l.Close()
	for name, got := range map[string]string{"file": content(t, dir+"/consul.log"), "console": strings.ReplaceAll(console.String(), "consul | ", "")} {
		next := map[string]int{}
		for line := range strings.Lines(got) {
			if strings.HasPrefix(line, "dns") {
				continue
			}
			stream, _, _ := strings.Cut(line, " ")
			if want := fmt.Sprintf("%s %d é\n", stream, next[stream]); line != want {
				t.Fatalf("the %s has %q, want %q", name, line, want)
			}
			next[stream]++
		}
		if next["out"] != lines || next["err"] != lines {
			t.Errorf("the %s ends at %v", name, next)
		}
	}
	if got := content(t, dir+"/dns.log"); !strings.HasSuffix(got, " panteras: remark\nhalf a line\n") {
		t.Errorf("the line that was handed over in the middle is %q", got)
	}
}

// TestHandoverThatFails goes on where it was.
func TestHandoverThatFails(t *testing.T) {
	t.Parallel()
	console := &buffer{}
	l := newLogs(t, Options{Console: console})
	stdout, _ := open(t, l, "consul")
	l.Write("consul", "before")
	handed, err := l.Detach()
	if err != nil {
		t.Fatal(err)
	}
	say(t, stdout, "meanwhile\n")
	for _, h := range handed {
		if err := l.Adopt(h); err != nil {
			t.Fatal(err)
		}
	}
	lab.Eventually(t, 10*time.Second, "what was said meanwhile is there", func() bool { return strings.Contains(console.String(), "meanwhile") })
	if got := l.Tail("consul", 10); len(got) != 2 {
		t.Errorf("in memory is %v", got)
	}
}

func TestAHandoverOfNothingIsAnError(t *testing.T) {
	t.Parallel()
	l := newLogs(t, Options{})
	if err := l.Adopt(Handover{Daemon: "consul", Pipes: []HandoverPipe{{Stream: Stdout, FD: 1 << 20}}}); err == nil || !strings.Contains(err.Error(), "consul") {
		t.Errorf("error %v", err)
	}
}
