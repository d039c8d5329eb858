// Package gateway runs one end of the tunnel: it follows the store of peers and keeps the
// WireGuard interface and the firewall of this host as they should be.
//
// What they should be is computed, without I/O, from the settings, the last good state of
// the store and the time; what differs is changed. Everything that happens (the store has
// changed, a peer expires, the MTU has, somebody removed the table) ends in the same step,
// [Gateway.reconcile], in one goroutine.
package gateway
