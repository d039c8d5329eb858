// Package store keeps the peers and gateways of a tunnel.
//
// There is one store, written once, over a small key-value interface with
// transactions: Consul's KV store, a file, or memory (the fake for tests). What it
// keeps, under one prefix:
//
//	cluster             what all gateways share
//	peers/NAME          a peer
//	addresses/ADDRESS   who has the address, or who had it and when it was freed
//	keys/KEY            who has the public key, in hexadecimal
//	gateways/NAME       what a gateway says about itself
//	places/NAME         where the peers of a gateway are that shares its address, compressed
//
// A peer's entry, its addresses and its key appear, change and vanish together, in
// one transaction that checks that nobody else has taken them.
package store
