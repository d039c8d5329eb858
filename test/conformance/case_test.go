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
	name  string // as the source calls it, or short words of ours
	sends string // what the client sends, in words

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

	// alone gives the case a server of its own, with more flags: those that upset the
	// sockets or the state of the server need it.
	alone bool
	flags []string
}

// suite is the cases of one source.
type suite struct {
	title, about string
	cases        []testCase
}

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

// promises says what the case wants, in words.
func (c testCase) promises() string {
	if c.play != nil {
		return c.promise
	}
	var says []string
	for _, w := range c.wants {
		says = append(says, w.says)
	}
	return strings.Join(says, "; ")
}
