// Package conformance holds the DNS server to what published test suites and RFCs ask of
// a forwarder: a table of cases, each of which sends packets to the running program and
// names its source. docs/conformance.md is made of the table.
package conformance

import (
	"regexp"
	"strings"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// testCase is one line of the table.
type testCase struct {
	name   string // as the source calls it, or short words of ours
	source string // where it comes from; "": see suite.sourceOf
	sends  string // what the client sends, in words

	query  func(*dns.Msg)      // changes the query: A, RD=1, without EDNS
	raw    func([]byte) []byte // changes its bytes
	tcp    bool
	under  string                        // where its name lies; example.org if not set, which recursors have
	script func(*lab.Query) []lab.Action // the upstream; nil: see ordinary
	wants  []check

	// play is a conversation of several messages, and promise what it proves; instead of
	// query, raw and wants.
	play    func(*stage)
	promise string

	// early is the first half of a play that takes long: it is over before the other cases
	// begin, and what it returns is played after them.
	early func(*stage) (late func(*stage))

	// alone gives the case a server of its own, with more flags: those that upset the
	// sockets or the state of the server need it.
	alone bool
	flags []string
}

// suite is the cases of one source.
type suite struct {
	title, about string
	source       func(name string) string // where cases come from that do not say so themselves
	cases        []testCase
	omitted      []omission
}

// omission is what the source has, or what is asked of us, and what is no case here.
type omission struct{ names, why string }

// suites is the whole table.
func suites() []suite {
	return []suite{genreport(), dnsdist(), unbound(), headers(), messages(), services()}
}

var noSlug = regexp.MustCompile(`[^a-z0-9]+`)

// label is the first label of the names of a case, by which upstreams know whose query
// they have; unique in the table.
func (s suite) label(c testCase) string {
	title, _, _ := strings.Cut(s.title, " ")
	return strings.Trim(noSlug.ReplaceAllString(strings.ToLower(title+"-"+c.name), "-"), "-")
}

var namedRFC = regexp.MustCompile(`^RFC (\d+)(?: ([\d.]+))?:`)

// sourceOf says where a case comes from: "" if nobody has said it. A name of the form "RFC 1035 4.1.1: …" says it.
func (s suite) sourceOf(c testCase) string {
	if c.source != "" {
		return c.source
	}
	if m := namedRFC.FindStringSubmatch(c.name); m != nil {
		if m[2] == "" {
			return "RFC " + m[1]
		}
		return "RFC " + m[1] + " section " + m[2]
	}
	if s.source != nil {
		return s.source(c.name)
	}
	return ""
}

// promises says what the case wants, in words.
func (c testCase) promises() string {
	if c.promise != "" {
		return c.promise
	}
	var says []string
	for _, w := range c.wants {
		says = append(says, w.says)
	}
	return strings.Join(says, "; ")
}
