package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	const events = `
{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestBad","Output":"=== RUN   TestBad\n"}
{"Action":"output","Package":"p","Test":"TestBad","Output":"    bad_test.go:1: broken\n"}
{"Action":"output","Package":"p","Test":"TestBad","Output":"--- FAIL: TestBad (0.00s)\n"}
{"Action":"fail","Package":"p","Test":"TestBad"}
{"Action":"output","Package":"p","Test":"TestRoot","Output":"=== RUN   TestRoot\n"}
{"Action":"output","Package":"p","Test":"TestRoot","Output":"    root_test.go:9: needs root\n"}
{"Action":"output","Package":"p","Test":"TestRoot","Output":"--- SKIP: TestRoot (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestRoot"}
{"Action":"output","Package":"p","Test":"TestHung","Output":"panic: test timed out\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.01s\n"}
{"Action":"fail","Package":"p"}
{"Action":"output","Package":"q","Output":"PASS\n"}
{"Action":"output","Package":"q","Output":"ok  \tq\t0.01s\n"}
{"Action":"pass","Package":"q"}
{"Action":"output","Package":"r","Output":"?   \tr\t[no test files]\n"}
{"Action":"skip","Package":"r"}
{"ImportPath":"s","Action":"build-output","Output":"s.go:1: syntax error\n"}
`
	const want = "\n" + `    bad_test.go:1: broken
--- FAIL: TestBad (0.00s)
FAIL	p	0.01s
panic: test timed out
ok  	q	0.01s
?   	r	[no test files]
s.go:1: syntax error
`
	var got strings.Builder
	r, err := report(strings.NewReader(events), &got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"p": {"TestBad"}}, r.broken); diff != "" {
		t.Errorf("what failed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got.Reset()
	if !printSkipped(&got, r.skipped) {
		t.Error("no test was skipped")
	}
	if diff := cmp.Diff("\nskipped: 1\n  p TestRoot\n      root_test.go:9: needs root\n", got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if printSkipped(&got, nil) {
		t.Error("a test was skipped")
	}
}

func TestOnlyWhatFailedRunsAgain(t *testing.T) {
	args := []string{"-race", "-timeout", "20m", "./..."}
	want := []string{"-race", "-timeout", "20m", "-count=1", "-run", "^(TestA|TestB)$", "panteras/p"}
	if diff := cmp.Diff(want, onlyThese(args, "panteras/p", []string{"TestA", "TestB"})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"-race", "-timeout", "20m", "-count=1", "panteras/p"}, onlyThese(args, "panteras/p", nil)); diff != "" {
		t.Errorf("a whole package (-want +got):\n%s", diff)
	}
	if n := (result{broken: map[string][]string{"p": {"A", "B"}, "q": {}}}).count(); n != 3 {
		t.Errorf("%d tests failed, want 3", n)
	}
}
