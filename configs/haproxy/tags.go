package haproxy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	// defaultWeight is the weight of a server whose tags name none.
	defaultWeight = 100
	// mostWeight is HAProxy's limit.
	mostWeight = 256
	// defaultMaxconn is how many connections a server takes unless the KV store says
	// otherwise.
	defaultMaxconn = 128
	mostMaxconn    = 1_000_000
)

// What may stand in a configuration file. None of it means anything to HAProxy.
var (
	namePattern  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`)
	pathPattern  = regexp.MustCompile(`^(/[A-Za-z0-9._~%+@:,=-]+)+/?$`)
	checkPattern = regexp.MustCompile(`^(?:(GET|HEAD|OPTIONS) )?(/[A-Za-z0-9._~%+@:,=?&/-]*)$`)
	dotsPattern  = regexp.MustCompile(`/\.\.?(/|$)`)
)

const mostPath = 256

// wishes is what the tags of one instance ask for.
type wishes struct {
	http    bool
	paths   []string // without a slash at the end
	ports   []uint16
	weight  int
	check   string // method and path; "" is a TCP check
	refused []string
}

// refuse notes why a tag has no effect.
func (w *wishes) refuse(tag, format string, args ...any) {
	w.refused = append(w.refused, fmt.Sprintf("tag %s %s", brief(tag), fmt.Sprintf(format, args...)))
}

// brief is a stranger's text as a report can show it.
func brief(text string) string {
	const most = 80
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "…"
	}
	return strconv.QuoteToASCII(text)
}

// readTags reads the tags of an instance of a service. Tags that are not for HAProxy
// are nobody's business here.
func readTags(service string, tags []string) wishes {
	w := wishes{weight: -1}
	for _, tag := range tags {
		name, value, _ := strings.Cut(tag, "=")
		switch {
		case tag == "haproxy" || tag == "webapp":
			w.http = true
		case tag == "route_path":
			w.addPath(tag, "/"+service)
		case name == "haproxy_route":
			w.addPath(tag, value)
		case name == "haproxy_tcp":
			w.addPort(tag, value)
		case name == "weight" || name == "haproxy_weight":
			w.setWeight(tag, value)
		case name == "haproxy_httpchk":
			w.setCheck(tag, value)
		case strings.HasPrefix(tag, "haproxy_"):
			w.refuse(tag, "is none that we know")
		}
	}
	if w.weight < 0 {
		w.weight = defaultWeight
	}
	if len(w.paths) > 0 && !w.http {
		w.refused = append(w.refused, "haproxy_route has no effect without the tag haproxy")
		w.paths = nil
	}
	return w
}

func (w *wishes) addPath(tag, path string) {
	switch {
	case path == "/":
		w.refuse(tag, "would take every request that no other service takes; name a path below /")
	case len(path) > mostPath || !pathPattern.MatchString(path) || dotsPattern.MatchString(path):
		w.refuse(tag, "is no path: write /name, or /name/more, of letters, digits and . _ ~ %% + @ : , = -")
	default:
		if path = strings.TrimSuffix(path, "/"); !slices.Contains(w.paths, path) {
			w.paths = append(w.paths, path)
		}
	}
}

func (w *wishes) addPort(tag, text string) {
	n, err := decimal(text, 1, 65535)
	if err != nil {
		w.refuse(tag, "is no port: %v", err)
	} else if port := uint16(n); !slices.Contains(w.ports, port) {
		w.ports = append(w.ports, port)
	}
}

func (w *wishes) setWeight(tag, text string) {
	n, err := decimal(text, 0, mostWeight)
	switch {
	case err != nil:
		w.refuse(tag, "is no weight: %v", err)
	case w.weight >= 0 && w.weight != n:
		w.refuse(tag, "contradicts the weight %d before it", w.weight)
	default:
		w.weight = n
	}
}

func (w *wishes) setCheck(tag, text string) {
	m := checkPattern.FindStringSubmatch(text)
	if m == nil || len(text) > mostPath {
		w.refuse(tag, "is no check: write haproxy_httpchk=GET /path, with GET, HEAD or OPTIONS")
		return
	}
	method := m[1]
	if method == "" {
		method = "OPTIONS" // as HAProxy has it
	}
	check := method + " " + m[2]
	if w.check != "" && w.check != check {
		w.refuse(tag, "contradicts %q before it", w.check)
		return
	}
	w.check = check
}

// decimal reads a number as people write it: digits, nothing else, no zero in front.
func decimal(text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text || n < least || n > most {
		return 0, fmt.Errorf("write a number from %d to %d", least, most)
	}
	return n, nil
}
