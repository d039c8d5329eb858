// Package rights knows which rights the daemons of a host need in a Consul that denies
// what is not allowed (docs/security.md), and finds out which of them its token lacks.
// Consul itself does not say: what may not be read is left out of its answers.
package rights
