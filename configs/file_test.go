package configs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// accepted are files and the assignments they hold. Each is also given to bash.
var accepted = []struct {
	name, file string
	want       map[string]string
}{
	{"plain", "K=value", map[string]string{"K": "value"}},
	{"empty", "K=", map[string]string{"K": ""}},
	{"empty file", "", nil},
	{"comments only", "# one\n\n  # two", nil},
	{"trailing comment", "K=a # b", map[string]string{"K": "a"}},
	{"comments that end in a backslash", "# a \\\nK=1 # b \\\nL=2 # c\\\\\nM='# d \\\n'", map[string]string{"K": "1", "L": "2", "M": "# d \\\n"}},
	{"a commented-out value of two lines", "#K=\"a \\\n#  b\"\nK=1", map[string]string{"K": "1"}},
	{"hash after a continued line", "K=a \\\n#b \\\nL=c\\\n#d", map[string]string{"K": "a", "L": "c#d"}},
	{"hash inside", "K=a#b", map[string]string{"K": "a#b"}},
	{"export", "export K=value", map[string]string{"K": "value"}},
	{"export twice", "K=a\nexport K", map[string]string{"K": "a"}},
	{"several on a line", "K=1 L=2 M=3", map[string]string{"K": "1", "L": "2", "M": "3"}},
	{"semicolons", "K=1; L=2;export M=3", map[string]string{"K": "1", "L": "2", "M": "3"}},
	{"several exported", "export K=1 L=2", map[string]string{"K": "1", "L": "2"}},
	{"single quotes", `K='a $X "b" \n'`, map[string]string{"K": `a $X "b" \n`}},
	{"double quotes", `K="a 'b' c"`, map[string]string{"K": "a 'b' c"}},
	{"joined quotes", `K=a'b'"c"d`, map[string]string{"K": "abcd"}},
	{"escapes", `K=a\ b\$c\\d\'`, map[string]string{"K": `a b$c\d'`}},
	{"escapes in double quotes", "K=\"\\$x \\\" \\\\ \\` \\n \\'\"", map[string]string{"K": "$x \" \\ ` \\n \\'"}},
	{"continued line", "K=a\\\nb", map[string]string{"K": "ab"}},
	{"continued line in quotes", "K=\"a\\\nb\"", map[string]string{"K": "ab"}},
	{"many lines", "K='a\nb'", map[string]string{"K": "a\nb"}},
	{"reference", "L=1\nK=$L-${L}2", map[string]string{"L": "1", "K": "1-12"}},
	{"reference in quotes", "L='a  b'\nK=\"x $L\"", map[string]string{"L": "a  b", "K": "x a  b"}},
	{"reference keeps blanks", "L='a  b'\nK=$L", map[string]string{"L": "a  b", "K": "a  b"}},
	{"reference on the line", "L=1 K=$L", map[string]string{"L": "1", "K": "1"}},
	{"reference to the environment", "K=$FROM_ENV", map[string]string{"K": "outside"}},
	{"a file's key beats the environment", "FROM_ENV=inside\nK=$FROM_ENV", map[string]string{"FROM_ENV": "inside", "K": "inside"}},
	{"exported values see the values before", "K=old\nexport K=new L=$K", map[string]string{"K": "new", "L": "old"}},
	{"last one wins", "K=1\nK=2", map[string]string{"K": "2"}},
	{"value with =", "K=-join=10.0.0.1", map[string]string{"K": "-join=10.0.0.1"}},
	{"globs stay", "K=*.?[a]", map[string]string{"K": "*.?[a]"}},
	{"braces stay", "K={a,b}", map[string]string{"K": "{a,b}"}},
	{"a lone dollar", `K=a$ L="$"`, map[string]string{"K": "a$", "L": "$"}},
	{"tilde inside", `K=a~b L='~'`, map[string]string{"K": "a~b", "L": "~"}},
	{"indented", "\t K=1", map[string]string{"K": "1"}},
	{"unicode", "K=żółw", map[string]string{"K": "żółw"}},
	{"no blanks around operators needed", "K=a;L=b", map[string]string{"K": "a", "L": "b"}},
}

var testEnviron = map[string]string{"FROM_ENV": "outside"}

// values reads a file and returns its keys, or its problems.
func values(name, file string) (map[string]string, []error) {
	p := newFileParser(testEnviron)
	var got map[string]string
	for _, a := range p.parse(name, []byte(file)) {
		if got == nil {
			got = map[string]string{}
		}
		got[a.key] = a.value
	}
	return got, p.problems
}

func TestAcceptedFiles(t *testing.T) {
	for _, test := range accepted {
		t.Run(test.name, func(t *testing.T) {
			got, problems := values("host", test.file)
			if len(problems) > 0 {
				t.Fatalf("%q: %v", test.file, problems)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", test.file, diff)
			}
		})
	}
}

func TestWindowsFiles(t *testing.T) {
	got, problems := values("host", "\xef\xbb\xbfK=1\r\nL='a b' # c\r\nexport M=\"x\"\r\n\r\n")
	want := map[string]string{"K": "1", "L": "a b", "M": "x"}
	if diff := cmp.Diff(want, got); diff != "" || len(problems) > 0 {
		t.Errorf("problems %v, values (-want +got):\n%s", problems, diff)
	}
}

// TestRefusedConstructs puts each construct on line 3 and expects one problem
// there, which says what was found.
func TestRefusedConstructs(t *testing.T) {
	for _, test := range []struct{ line, found string }{
		{"K=$(date)", "a command substitution ($(…))"},
		{"K=`date`", "a command substitution (`…`)"},
		{`K="x $(date)"`, "a command substitution ($(…))"},
		{"K=\"x `date`\"", "a command substitution (`…`)"},
		{"K=$(<file)", "a command substitution"},
		{"K=$((1+1))", "an arithmetic expansion"},
		{"K=$[1+1]", "an arithmetic expansion"},
		{"K=<(date)", "a process substitution"},
		{"K=1 | L=2", "a pipe"},
		{"K=1 |& cat", "a pipe"},
		{"K=1 && L=2", "a command list (&&)"},
		{"K=1 || L=2", "a command list (||)"},
		{"K=1 &", "a job in the background (&)"},
		{"! K=1", "a negation (!)"},
		{"if true; then K=1; fi", "an if clause"},
		{"while false; do K=1; done", "a while or until loop"},
		{"until true; do K=1; done", "a while or until loop"},
		{"for i in 1; do K=1; done", "a for or select loop"},
		{"select i in 1; do K=1; done", "a for or select loop"},
		{"case x in x) K=1;; esac", "a case clause"},
		{"{ K=1; }", "a block"},
		{"( K=1 )", "a subshell"},
		{"f() { K=1; }", "a function"},
		{"function f { K=1; }", "a function"},
		{"(( K=1 ))", "an arithmetic command"},
		{"[[ -n x ]]", "a test"},
		{"let K=1", "the command let"},
		{"time K=1", "the command time"},
		{"coproc cat", "a coprocess"},
		{"K=1 > file", "a redirection"},
		{"> file", "a redirection"},
		{"K=1 <<< x", "a redirection"},
		{"K=(a b)", "an array"},
		{"K[0]=a", "an array element"},
		{"K+=a", "+="},
		{"export K+=a", "+="},
		{"echo hello", "a command"},
		{"K=a b", "a command after K=…"},
		{"K = a", "blanks before ="},
		{"K-L=a", "a command"},
		{"1K=a", "a command"},
		{"source other", "a command"},
		{". ./other", "a command"},
		{"unset K", "a command"},
		{"eval K=1", "a command"},
		{"$K", "a command"},
		{"*", "a command"},
		{"readonly K=1", "the command readonly"},
		{"declare K=1", "the command declare"},
		{"local K=1", "the command local"},
		{"typeset K=1", "the command typeset"},
		{"export", "export without a key"},
		{"export -n K", "an option or an expansion after export"},
		{"export $FROM_ENV", "an option or an expansion after export"},
		{"export K={a,b}", "an unquoted { after export"},
		{"K=${FROM_ENV:-x}", "a parameter expansion that computes"},
		{"K=${FROM_ENV:=x}", "a parameter expansion that computes"},
		{"K=${FROM_ENV#x}", "a parameter expansion that computes"},
		{"K=${#FROM_ENV}", "a parameter expansion that computes"},
		{"K=${!FROM_ENV}", "a parameter expansion that computes"},
		{"K=${FROM_ENV/a/b}", "a parameter expansion that computes"},
		{"K=${FROM_ENV:1:2}", "a parameter expansion that computes"},
		{"K=${FROM_ENV[0]}", "a parameter expansion that computes"},
		{`K="${FROM_ENV^^}"`, "a parameter expansion that computes"},
		{"K=$1", "the shell's own parameter $1"},
		{"K=$?", "the shell's own parameter $?"},
		{"K=$$", "the shell's own parameter $$"},
		{"K=$@", "the shell's own parameter $@"},
		{"K=$_", "the shell's own parameter $_"},
		{"K=$UNDEFINED", "$UNDEFINED, which is not defined"},
		{`K="${UNDEFINED}"`, "$UNDEFINED, which is not defined"},
		{"K=$'a\\n'", "the quotes $'…'"},
		{`K=$"a"`, `the quotes $"…"`},
		{"K=~/x", "an unquoted ~"},
		{"K=/x:~/y", "an unquoted ~"},
		{"K=a$\\\n?", "a $ at the end of a continued line"},
		{"K=\"$\\\n{FROM_ENV}\"", "a $ at the end of a continued line"},
		{"0=[", "a key that begins with a digit"},
		{"K=@(a|b)", "a pattern"},
	} {
		t.Run(test.line, func(t *testing.T) {
			got, problems := values("restricted/host", "A=1\n\n"+test.line+"\nB=2\n")
			if len(problems) != 1 {
				t.Fatalf("%d problems, want 1: %v", len(problems), problems)
			}
			text := problems[0].Error()
			if !strings.HasPrefix(text, "restricted/host:3: found "+test.found) || !strings.Contains(text, "; ") {
				t.Errorf("problem %q, want line 3, %q and advice", text, test.found)
			}
			if diff := cmp.Diff(map[string]string{"A": "1", "B": "2"}, got); diff != "" {
				t.Errorf("values around it (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, line := range []string{"K='a", `K="a`, "K=$(", "K=`a", "K=)", "K=a)b", "if", "K=${", "fi", "K=(", ";;", "K=1 <<EOF", "&&", "f() {", "K=${FROM_ENV:s3cretword"} {
		t.Run(line, func(t *testing.T) {
			_, problems := values("restricted/host", "A=1\n\n"+line)
			if len(problems) == 0 {
				t.Fatal("no problem found")
			}
			text := problems[0].Error()
			if !strings.HasPrefix(text, "restricted/host:") || strings.Contains(text, "s3cretword") {
				t.Errorf("problem %q", text)
			}
		})
	}
	_, problems := values("host", "A=1\nB=\x00")
	if len(problems) != 1 || !strings.HasPrefix(problems[0].Error(), "host:2: found a NUL byte") {
		t.Errorf("a NUL byte: %v", problems)
	}
}

func TestReferencesCannotGrowWithoutBound(t *testing.T) {
	_, problems := values("host", "K=0123456789abcdef\n"+strings.Repeat("K=$K$K\n", 40))
	if len(problems) == 0 || !strings.HasPrefix(problems[0].Error(), "host:14: found a value longer than 64 KiB") {
		t.Errorf("problems %v, want the 14th line's", problems)
	}
}

func TestOneMistakeIsReportedOnce(t *testing.T) {
	_, problems := values("host", "A=$(date)\nB=$A\nC=${B}\n")
	if len(problems) != 1 {
		t.Errorf("problems %v, want only the first line's", problems)
	}
}

func TestReferencesReachAcrossFiles(t *testing.T) {
	p := newFileParser(nil)
	p.parse("common", []byte("NET=10.0.0"))
	found := p.parse("host", []byte("\nIP=$NET.5"))
	want := []assignment{{key: "IP", value: "10.0.0.5", line: 2}}
	if !slices.Equal(found, want) || len(p.problems) > 0 {
		t.Errorf("found %v, problems %v", found, p.problems)
	}
}

func ExampleLoad() {
	loaded, err := Load(Sources{
		Dir:     "testdata/none",
		Environ: []string{"IP=10.0.0.5", "CONSUL_DOMAIN=.Example.COM"},
		Flags:   map[string]string{"DNS_PORT": "5353"},
		Host:    HostFacts{Hostname: "node1"},
	})
	fmt.Println(loaded.Settings.ConsulDomain, loaded.Settings.DNSListen, err)
	// Output: example.com [0.0.0.0:5353 [::]:5353] <nil>
}
