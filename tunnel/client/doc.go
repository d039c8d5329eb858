// Package client writes the files by which stock WireGuard clients join a tunnel.
//
// Stock clients take all of DNS when a file names a DNS server, so each system
// gets the names of the platform, and no others, in its own way: Linux by hooks of
// wg-quick, macOS by files in /etc/resolver, Windows by a name resolution policy.
// Only phones, which have no such way, send all questions to the gateway.
//
// Hooks run as root on somebody's computer. They are fixed texts, with addresses
// and domains put in that cannot mean anything to a shell; names of people and
// devices never get into them.
package client
