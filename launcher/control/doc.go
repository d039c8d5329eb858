// Package control is how one talks to a running launcher: an API of HTTP and JSON over
// a Unix socket that only its user can open, and over TCP for those who have the token;
// and the client that the command line uses.
//
// docs/api.md describes the API. Over TCP everything but /healthz needs the token, and
// nothing is answered to requests that a web page of somebody else could have made: Host
// must be an address or a name of this host, and Origin, if there is one, the same.
package control
