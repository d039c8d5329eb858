package dnsserver

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"net"
	"time"

	"github.com/miekg/dns"

	"panteras/dnsserver/upstream"
)

// probeLife is how long a loop probe may be on its way.
const probeLife = 3 * time.Second

// probeLoops sends a question with a name nobody else asks for to each upstream. If it comes back to us, queries sent there go round in a circle (PanteraS #166):
// the server is not used, and said so, until the list of servers changes or the settings are reloaded.
func (s *Server) probeLoops() {
	s.mu.Lock()
	snap := s.cfg.Load()
	tokens := map[string]*upstream.Upstream{}
	for u := range snap.servers {
		u.SetLooping(false)
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		tokens[string(wireName(hex.EncodeToString(b[:])+".test"))] = u
	}
	s.setTokens(tokens)
	s.mu.Unlock()

	for name, u := range tokens {
		q := probeQuery(presentation(name), dns.TypeTXT)
		if conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(u.Addr)); err == nil {
			_, _ = conn.Write(q)
			time.AfterFunc(probeLife, func() { conn.Close() }) // the answer does not matter, but no ICMP error should meet it
		}
	}
	time.AfterFunc(probeLife, func() {
		for _, u := range tokens {
			switch {
			case u.Looping() && u.Consul:
				s.log.Warn("this server is a recursor of Consul: reverse names (DNS_PTR) are not asked there, they would go round in a circle", "upstream", u.Addr.String())
			case u.Looping():
				s.log.Error("forwarding loop: a query sent to this upstream came back here; it is not used until the list of upstreams changes or the settings are reloaded",
					"upstream", u.Addr.String())
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if cur := s.cfg.Load().tokens; len(cur) > 0 && maps.Equal(cur, tokens) {
			s.setTokens(nil)
		}
	})
}

// setTokens publishes the probes that are on their way. Called with the lock held.
func (s *Server) setTokens(tokens map[string]*upstream.Upstream) {
	next := *s.cfg.Load()
	next.tokens = tokens
	s.cfg.Store(&next)
}
