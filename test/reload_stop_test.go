package test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

// Whoever asked before SIGTERM is answered, over UDP and TCP, and then the process
// ends with 0.
func TestStopAnswersWhatIsInFlight(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		answer := make(chan struct{})
		u := scripted(t, func(attempt) []lab.Action {
			return append([]lab.Action{lab.Until(answer)}, answerWith(trueAddress)...)
		})
		d := startDNSD(t, to(v.flag, u))
		udp, tcp := dial(t, "udp", d.addr), dial(t, "tcp", d.addr)
		const queries = 30
		for i := range queries {
			write(t, udp, pack(t, ednsQuery(fmt.Sprintf("u%d.%s", i, v.name), dns.TypeA)))
			write(t, tcp, pack(t, ednsQuery(fmt.Sprintf("t%d.%s", i, v.name), dns.TypeA)))
		}
		for i := range queries {
			for _, name := range []string{fmt.Sprintf("u%d.%s", i, v.name), fmt.Sprintf("t%d.%s", i, v.name)} {
				lab.Eventually(t, patience, name+" to be on its way", func() bool { return u.Asked(name, dns.TypeA) > 0 })
			}
		}
		d.Signal(syscall.SIGTERM)
		lab.Eventually(t, patience, "the server to listen no more", func() bool {
			conn, err := net.Dial("tcp", d.addr.String())
			if err == nil {
				_ = conn.Close()
			}
			return err != nil
		})
		close(answer)
		for range queries {
			wantAddress(t, unpack(t, read(t, udp)), trueAddress)
			wantAddress(t, unpack(t, read(t, tcp)), trueAddress)
		}
		if code := d.Wait(t, patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// What has arrived counts as asked, even if the server has not had the time yet to
// look at it: here it is stopped (SIGSTOP) while hundreds of queries come in.
func TestStopAnswersWhatHasArrived(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		d := startDNSD(t, to(v.flag, scripted(t, always(trueAddress))))
		udp := dial(t, "udp", d.addr)
		if err := udp.(*net.UDPConn).SetReadBuffer(1 << 20); err != nil {
			t.Fatal(err)
		}
		tcp := dial(t, "tcp", d.addr)
		write(t, tcp, pack(t, ednsQuery(v.name, dns.TypeA))) // is accepted, not only connected
		read(t, tcp)
		const queries = 150
		d.Signal(syscall.SIGSTOP)
		lab.Eventually(t, patience, "the server to stop", func() bool { return processState(d.Pid()) == 'T' })
		for i := range queries {
			write(t, udp, pack(t, ednsQuery(fmt.Sprintf("u%d.%s", i, v.name), dns.TypeA)))
			write(t, tcp, pack(t, ednsQuery(fmt.Sprintf("t%d.%s", i, v.name), dns.TypeA)))
		}
		lab.Eventually(t, patience, "the server's kernel to have it all", func() bool { return unsent(t, tcp) == 0 })
		d.Signal(syscall.SIGTERM)
		d.Signal(syscall.SIGCONT)
		for i := range queries {
			for network, conn := range map[string]net.Conn{"udp": udp, "tcp": tcp} {
				raw, err := tryRead(conn)
				if err != nil {
					t.Fatalf("%s: %d of %d queries were answered: %v", network, i, queries, err)
				}
				wantAddress(t, unpack(t, raw), trueAddress)
			}
		}
		if code := d.Wait(t, patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// unsent is how many bytes of a TCP connection the other side has not confirmed.
func unsent(t testing.TB, conn net.Conn) (n int) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// processState is the letter of proc(5), 0 if the process is gone.
func processState(pid int) byte {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	for i := len(stat) - 1; i > 0; i-- { // the name before it may hold anything
		if stat[i] == ')' {
			return stat[i+2]
		}
	}
	return 0
}

// A silent server cannot keep the process: its queries are given up in time.
func TestStopWithSilentServer(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		u := scripted(t, noAnswer)
		d := startDNSD(t, to(v.flag, u))
		udp, tcp := dial(t, "udp", d.addr), dial(t, "tcp", d.addr)
		write(t, udp, pack(t, ednsQuery("u."+v.name, dns.TypeA)))
		write(t, tcp, pack(t, ednsQuery("t."+v.name, dns.TypeA)))
		lab.Eventually(t, patience, "the queries to be on their way", func() bool {
			return u.Asked("u."+v.name, dns.TypeA) > 0 && u.Asked("t."+v.name, dns.TypeA) > 0
		})
		d.Signal(syscall.SIGTERM)
		wantServFail(t, unpack(t, read(t, udp)))
		wantServFail(t, unpack(t, read(t, tcp)))
		if code := d.Wait(t, patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// A client that only keeps its connection open does not keep the process, and a
// second signal ends it whatever is in flight.
func TestStopDoesNotWaitForIdleClients(t *testing.T) {
	t.Parallel()
	u := scripted(t, noAnswer)
	d := startDNSD(t, to("--dns-upstreams", u))
	idle, half := dial(t, "tcp", d.addr), dial(t, "tcp", d.addr)
	for _, conn := range []net.Conn{idle, half} {
		write(t, conn, pack(t, ednsQuery("node-7", dns.TypeA)))
		read(t, conn)
	}
	if _, err := half.Write([]byte{0, 40, 1, 2}); err != nil { // the beginning of a message
		t.Fatal(err)
	}
	within(t, soon, "stopping with idle clients", func() {
		if code := d.Stop(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})

	d = startDNSD(t, to("--dns-upstreams", u))
	conn := dial(t, "udp", d.addr)
	write(t, conn, pack(t, ednsQuery("www.example.org", dns.TypeA)))
	lab.Eventually(t, patience, "the query to be on its way", func() bool { return u.Asked("www.example.org", dns.TypeA) > 0 })
	d.Signal(syscall.SIGTERM)
	lab.Eventually(t, patience, "the first signal to be seen", func() bool { return strings.Contains(d.Stderr(), "msg=stopping") })
	d.Signal(syscall.SIGTERM) // at once: timeout(1) and others signal the process and its group, which is one wish
	<-time.After(time.Second)
	within(t, atOnce, "ending at the second signal", func() {
		d.Signal(syscall.SIGTERM)
		if code := d.Wait(t, patience); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
	})
}
