// Package device is the tunnel's WireGuard interface: where packets of peers come out of
// their encryption. It is the kernel's if the kernel has WireGuard, else one in this
// process, with the socket that makes `wg show` work.
//
// What the interface should be is a [Config]; [Device.Apply] compares it with what the
// interface is and changes only that: sessions of peers that stay are not touched.
package device
