// Package balancer brings HAProxy's configuration into effect: it writes what
// configs/haproxy renders aside, lets HAProxy check it, moves it into place, and then
// tells a running HAProxy: through its runtime socket where only servers changed, by a
// reload otherwise. What HAProxy does not take leaves the last good configuration
// running and in place.
//
// All state is in files, because each snapshot is applied by a process of its own.
// A running HAProxy tells by its description which configuration it has loaded.
package balancer
