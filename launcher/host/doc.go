// Package host is the launcher at work on a real machine: it writes the files of
// daemons, opens their sockets, starts their processes, keeps their output and tells
// Consul about them. What happens when is package supervisor's.
package host
