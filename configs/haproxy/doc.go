// Package haproxy turns a snapshot of Consul's services into HAProxy's configuration:
// haproxy.cfg, its map files and pages, and a report of what is served and what was
// refused and why.
//
// It is pure: [Render] opens nothing and changes nothing. Tags come from whoever may
// register a service, so each value passes a strict pattern or is dropped and
// reported; what is rendered holds nothing else of theirs.
package haproxy
