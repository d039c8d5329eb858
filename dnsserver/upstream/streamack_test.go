package upstream

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"panteras/dnsserver/wire"
)

// TestLastAnswersAreNotHeldBack has a server that sends a small segment only when the one before is acknowledged (RFC 896), and that is not asked anything more meanwhile: whoever waits for
// the second of two answers must not wait until the kernel acknowledges the first one for want of a query to go along with (40 ms).
func TestLastAnswersAreNotHeldBack(t *testing.T) {
	t.Parallel()
	const warm, pairs = 50, 10 // a new connection acknowledges at once
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()

	arrived := make(chan uint16, 1)
	c := &streamConn{pending: map[uint16]*exchange{}}
	c.s = &Stream{}
	const all = warm + 2*pairs
	for id := range uint16(all + 1) { // one is never answered: somebody waits all the time
		c.pending[id] = &exchange{query: []byte{byte(id >> 8), byte(id)}, timer: time.NewTimer(time.Hour), done: func([]byte, error) { arrived <- id }}
	}
	ended := make(chan error, 1)
	go func() { ended <- c.read(conn) }()
	answer := func(id uint16) {
		frame := make([]byte, 2+wire.HeaderLen)
		binary.BigEndian.PutUint16(frame, wire.HeaderLen)
		wire.SetID(frame[2:], id)
		if _, err := server.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	await := func() {
		t.Helper()
		select {
		case <-arrived:
		case <-time.After(patience):
			t.Fatal("an answer does not arrive")
		}
	}
	ask := func() { // after an answer: the kernel learns to wait for such
		if _, err := conn.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
	}
	for id := range uint16(warm) {
		answer(id)
		await()
		ask()
	}
	if err := server.(*net.TCPConn).SetNoDelay(false); err != nil {
		t.Fatal(err)
	}
	least := time.Hour
	for k := range uint16(pairs) {
		began := time.Now()
		answer(warm + 2*k)
		answer(warm + 2*k + 1)
		await()
		await()
		least = min(least, time.Since(began))
		ask()
	}
	if least > 30*time.Millisecond {
		t.Errorf("the second answer took %v at the least", least)
	}
	server.Close()
	if err := <-ended; err == nil {
		t.Error("no error when the server closes")
	}
}
