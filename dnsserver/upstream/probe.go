package upstream

import (
	"math/rand/v2"
	"net"
	"time"

	"panteras/dnsserver/wire"
)

// A probe is sent every probeInterval. A suspected server that has not answered any within probePatience is down: a host under load may leave a server
// that lives without the processor for some of that time.
const (
	probeInterval = 150 * time.Millisecond
	probePatience = time.Second
	// probesOpen is how many probes may still be answered: those of the last 3 s, for a server that is far away, or slow.
	probesOpen = int(3 * time.Second / probeInterval)
)

// startProbe runs one prober until the server answers; a second call while it runs does nothing.
func (u *Upstream) startProbe() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.probing || u.ctx.Err() != nil {
		return
	}
	u.probing = true
	u.wg.Add(1)
	go func() {
		defer u.wg.Done()
		u.runProbe()
	}()
}

func (u *Upstream) runProbe() {
	start := time.Now()
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	answered := make(chan struct{}, 1)
	var open []net.Conn
	defer func() {
		for _, conn := range open {
			conn.Close()
		}
	}()
	for {
		if len(open) == probesOpen {
			open[0].Close()
			open = open[1:]
		}
		if conn := u.sendProbe(answered); conn != nil {
			open = append(open, conn)
		}
		select {
		case <-u.ctx.Done():
		case <-tick.C:
		case <-answered:
			u.setUp()
		}
		u.mu.Lock()
		if u.ctx.Err() != nil || state(u.state.Load()) == up {
			u.probing = false
			u.mu.Unlock()
			return
		}
		u.mu.Unlock()
		if time.Since(start) > probePatience {
			u.setDown("no answer")
		}
	}
}

// sendProbe asks once and reports an answer until the connection is closed.
func (u *Upstream) sendProbe(answered chan<- struct{}) net.Conn {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(u.Addr))
	if err != nil {
		return nil
	}
	id := uint16(rand.Uint32())
	q := append([]byte(nil), u.probe...)
	wire.SetID(q, id)
	if _, err := conn.Write(q); err != nil {
		conn.Close()
		return nil
	}
	u.wg.Add(1)
	go func() {
		defer u.wg.Done()
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			if n >= wire.HeaderLen && wire.ID(buf) == id && wire.Flags(buf)&wire.FlagQR != 0 {
				select {
				case answered <- struct{}{}:
				default:
				}
				return
			}
		}
	}()
	return conn
}
