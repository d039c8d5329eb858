package main

import (
	"io/fs"
	"net"
	"os"

	"panteras/configs"
)

// listenMetrics opens what METRICS_LISTEN, which is not off, names. It takes a Unix
// socket from a predecessor, dead or alive.
func listenMetrics(listen string) (net.Listener, error) {
	network, address := configs.MetricsAddress(listen)
	if network != "unix" {
		return net.Listen(network, address)
	}
	if info, err := os.Lstat(address); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(address); err != nil {
			return nil, err
		}
	}
	l, err := net.ListenUnix(network, &net.UnixAddr{Name: address, Net: network})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	made, err := os.Lstat(address)
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return &ownSocket{l, address, made}, nil
}

// ownSocket removes its file in the end unless a successor has made one of its own.
type ownSocket struct {
	net.Listener
	path string
	made fs.FileInfo
}

func (s *ownSocket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.made) {
		_ = os.Remove(s.path)
	}
	return s.Listener.Close()
}
