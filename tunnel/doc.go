// Package tunnel is the access pillar: WireGuard gateways that let a workstation
// use the names and services of the platform.
//
// This package holds what everything in it talks about (peers, rules, gateways,
// the state of a store) and the pure functions that turn a [Snapshot] into what a
// gateway is to hold. Effects stand behind interfaces; their implementations live
// in packages of their own: store keeps peers, client writes client files.
package tunnel
