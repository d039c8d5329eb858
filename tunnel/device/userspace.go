package device

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"strings"

	wireguard "golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"
)

// engine is WireGuard in this process, behind an interface and a control socket.
type engine struct {
	dev     *wireguard.Device
	bind    *bind
	control net.Listener
	served  chan struct{} // closed when no more control connections are taken
}

// newEngine makes an interface, down and without addresses.
func newEngine(o Options) (*engine, error) {
	name := o.Name
	tdev, err := tun.CreateTUN(name, o.MTU)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot make %s: %w: this host has no /dev/net/tun (modprobe tun; in a container: --device /dev/net/tun)", name, err)
		}
		return nil, permission("cannot make "+name, err)
	}
	bind := &bind{handed: o.Sockets, dialled: o.Source, floating: o.Floating}
	bind.look()
	dev := wireguard.NewDevice(tdev, bind, logger(o.Log))
	control, err := listenControl(name)
	if err != nil {
		dev.Close()
		return nil, fmt.Errorf("cannot open the control socket of %s, which wg(8) and we ourselves need: %w", name, err)
	}
	e := &engine{dev: dev, bind: bind, control: control, served: make(chan struct{})}
	go func() {
		defer close(e.served)
		for {
			c, err := control.Accept()
			if err != nil {
				return
			}
			go dev.IpcHandle(c)
		}
	}()
	return e, nil
}

// listenControl opens the socket; one that a dead process left is replaced.
func listenControl(name string) (net.Listener, error) {
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the listener has a descriptor of its own
	return ipc.UAPIListen(name, file)
}

// close ends the interface with everything that belongs to it.
func (e *engine) close() {
	_ = e.control.Close()
	<-e.served
	e.dev.Close()
}

// logger hands on what the engine has to say. It says nothing about keys but the first
// and last letters of public ones.
func logger(log *slog.Logger) *wireguard.Logger {
	say := func(level slog.Level) func(string, ...any) {
		if !log.Enabled(context.Background(), level) {
			return wireguard.DiscardLogf
		}
		return func(format string, args ...any) {
			log.Log(context.Background(), level, "wireguard: "+strings.TrimSpace(fmt.Sprintf(format, args...)))
		}
	}
	return &wireguard.Logger{Verbosef: say(slog.LevelDebug), Errorf: say(slog.LevelWarn)}
}
