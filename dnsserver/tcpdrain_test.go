package dnsserver

import (
	"io"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Who has connected, and asks while the server stops, is answered; who says nothing, or has had an answer, is not waited for.
func TestAStoppingServerAnswersWhoHasNotAskedYet(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	ask := func(c *dns.Conn) error {
		if err := c.WriteMsg(new(dns.Msg).SetQuestion("node1.", dns.TypeA)); err != nil {
			return err
		}
		_, err := c.ReadMsg()
		return err
	}
	asked, silent, late := d.connect(nil), d.connect(nil), d.connect(nil)
	if err := ask(&dns.Conn{Conn: asked}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	d.srv.tcp.drain()
	if err := ask(&dns.Conn{Conn: late}); err != nil {
		t.Errorf("who asked after the server began to stop: %v", err)
	}
	for who, conn := range map[string]io.Reader{"who had an answer": asked, "who says nothing": silent} {
		if got, err := io.ReadAll(conn); len(got) != 0 || err != nil {
			t.Errorf("%s got %x, %v, want the end", who, got, err)
		}
	}
	if took := time.Since(began); took > tcpIdle/2 {
		t.Errorf("the end came after %v", took)
	}
	for _, conn := range []io.Closer{asked, silent, late} {
		_ = conn.Close()
	}
	d.srv.tcp.wait()
}
