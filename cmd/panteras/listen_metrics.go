package main

import (
	"io/fs"
	"net"
	"os"

	"panteras/configs"
)

// listenMetrics opens what METRICS_LISTEN, which is not off, names.
func listenMetrics(listen string) (net.Listener, error) {
	network, address := configs.MetricsAddress(listen)
	if network == "unix" {
		// The socket of a process that was killed is in the way.
		if info, err := os.Lstat(address); err == nil && info.Mode()&fs.ModeSocket != 0 {
			if err := os.Remove(address); err != nil {
				return nil, err
			}
		}
	}
	return net.Listen(network, address)
}
