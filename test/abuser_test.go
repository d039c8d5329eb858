package test

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// abuserEnv makes the test program an abuser: its value says of which kind.
const abuserEnv = "PANTERAS_TEST_ABUSER"

// Kinds of abusers. They are processes of their own and come last in the scheduler's order, because they stand for other machines: what their own work takes of
// a processor is not taken from a server there.
const (
	neverReads = "never-reads"
	holdsOpen  = "holds-open" // connections that have said the bytes that follow
	drips      = "drips"      // and say the next of them every dripTime
)

// abuserClients is how many addresses abusers have.
const abuserClients = 12

// dripTime leaves a message unfinished for as long as it may take.
const dripTime = 500 * time.Millisecond

// abuser is one that runs.
type abuser struct {
	upstream netip.AddrPort // which answers all it is asked at length
	in       io.WriteCloser
	out      *bufio.Reader
	cmd      *exec.Cmd
}

// startAbuser starts one; it does nothing yet.
func startAbuser(t testing.TB, kind string, connections int, first []byte) *abuser {
	t.Helper()
	a := &abuser{cmd: exec.Command("nice", "-n", "19", os.Args[0])}
	a.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %x", abuserEnv, kind, connections, first))
	a.cmd.Stderr = os.Stderr
	in, err := a.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a.in, a.out = in, bufio.NewReader(out)
	t.Cleanup(a.stop)
	a.upstream = netip.MustParseAddrPort(a.says(t))
	return a
}

func (a *abuser) says(t testing.TB) string {
	t.Helper()
	line, err := a.out.ReadString('\n')
	if err != nil {
		t.Fatalf("an abuser: %v", err)
	}
	return strings.TrimSpace(line)
}

// abuse begins, and returns once it is in full swing.
func (a *abuser) abuse(t testing.TB, server netip.AddrPort) {
	t.Helper()
	if _, err := fmt.Fprintln(a.in, server); err != nil {
		t.Fatal(err)
	}
	if got := a.says(t); got != "ready" {
		t.Fatalf("an abuser: %s", got)
	}
}

// stop ends all its connections.
func (a *abuser) stop() {
	_ = a.in.Close()
	_ = a.cmd.Wait()
}

// runAbuser is what the process does.
func runAbuser(task string) error {
	var kind, connections, text string
	_, _ = fmt.Sscan(task, &kind, &connections, &text)
	n, err := strconv.Atoi(connections)
	if err != nil {
		return err
	}
	first, err := hex.DecodeString(text)
	if err != nil {
		return err
	}
	upstream, err := longAnswers()
	if err != nil {
		return err
	}
	fmt.Println(upstream)
	var server string
	if _, err := fmt.Scanln(&server); err != nil {
		return err
	}
	var open []net.Conn
	swing := &swing{enough: int64(10 * n), full: make(chan struct{})}
	for i := range n {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%abuserClients))}, Timeout: patience}
		conn, err := dialer.Dial("tcp", server)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		defer conn.Close()
		switch {
		case kind == neverReads:
			go swing.askForever(conn.(*net.TCPConn))
		case kind == drips:
			open = append(open, conn)
		case len(first) > 0:
			_, _ = conn.Write(first) // its place may be somebody else's already
		}
	}
	go dripAll(open, first)
	if kind == neverReads {
		<-swing.full
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// dripAll says the bytes on every connection, one now and then.
func dripAll(open []net.Conn, bytes []byte) {
	tick := time.NewTicker(dripTime)
	defer tick.Stop()
	for i := range bytes {
		for _, conn := range open {
			_, _ = conn.Write(bytes[i : i+1])
		}
		<-tick.C
	}
}

// swing counts questions; it is full once enough were written.
type swing struct {
	questions atomic.Int64
	enough    int64
	full      chan struct{}
}

// askForever writes questions and reads no answers.
func (s *swing) askForever(conn *net.TCPConn) {
	message, err := ednsQuery("www.example.org", dns.TypeTXT).Pack()
	// Small buffers on its own side, too: filling those with questions that no server has seen yet would keep both processors busy for seconds.
	if err != nil || conn.SetReadBuffer(4096) != nil || conn.SetWriteBuffer(4096) != nil {
		return
	}
	frame := append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
	for {
		if _, err := conn.Write(frame); err != nil {
			return // cut off: TestClientThatNeverReads waits for that
		}
		if s.questions.Add(1) == s.enough {
			close(s.full)
		}
	}
}

// longAnswers is an upstream that answers each question with 2 KB.
func longAnswers() (netip.AddrPort, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	packets, err := net.ListenPacket("udp4", listener.Addr().String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	text := strings.Repeat("x", 250)
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		for i := range 8 {
			reply.Answer = append(reply.Answer, &dns.TXT{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET},
				Txt: []string{text, strconv.Itoa(i)},
			})
		}
		_ = w.WriteMsg(reply)
	})
	for _, server := range []*dns.Server{{Listener: listener, Handler: answer, MaxTCPQueries: -1}, {PacketConn: packets, Handler: answer}} {
		go func() { _ = server.ActivateAndServe() }()
	}
	return netip.ParseAddrPort(listener.Addr().String())
}
