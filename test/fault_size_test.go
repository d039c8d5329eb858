package test

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// longText is an answer of some 1,900 bytes from a server that does not care how
// much the client takes.
func longText(attempt) []lab.Action {
	text := strings.Repeat("x", 250)
	return []lab.Action{lab.Reply(lab.Answers(
		`@ 0 IN TXT "`+text+`"`, `@ 0 IN TXT "a`+text+`"`, `@ 0 IN TXT "b`+text+`"`, `@ 0 IN TXT "c`+text+`"`,
		`@ 0 IN TXT "d`+text+`"`, `@ 0 IN TXT "e`+text+`"`, `@ 0 IN TXT "f`+text+`"`))}
}

// An answer that the client cannot take is told to be so: TC=1, the question, its
// OPT, and no part of a set of records (RFC 2181 section 9).
func TestTooLongForTheClient(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		d := startDNSD(t, to(v.flag, scripted(t, longText)))
		sized := func(size uint16) *dns.Msg { return plainQuery(v.name, dns.TypeTXT).SetEdns0(size, false) }
		for what, test := range map[string]struct {
			query *dns.Msg
			limit int
		}{
			"no EDNS":           {plainQuery(v.name, dns.TypeTXT), 512},
			"EDNS 512":          {sized(512), 512},
			"EDNS 0 means 512":  {sized(0), 512},
			"EDNS 1232":         {sized(1232), 1232},
			"EDNS 4096 is 1232": {sized(4096), 1232},
		} {
			raw := d.askRaw(t, "udp", pack(t, test.query))
			reply := unpack(t, raw)
			edns := 0
			if test.query.IsEdns0() != nil {
				edns = 1
			}
			if !reply.Truncated || len(reply.Question) != 1 || len(reply.Answer)+len(reply.Ns) != 0 || len(reply.Extra) != edns || len(raw) > test.limit {
				t.Errorf("%s: want TC=1 with nothing but question and OPT in %d bytes, got %d bytes:\n%v", what, test.limit, len(raw), reply)
			}
		}
		if reply := d.ask(t, "tcp", sized(1232)); reply.Truncated || len(reply.Answer) != 7 {
			t.Errorf("over TCP want all 7 records, got:\n%v", reply)
		}
	})
}

// The servers are told no more than the client takes, nor than DNS_UDP_SIZE.
func TestSizeToldUpstream(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		told := make(chan uint16, 1)
		u := scripted(t, func(a attempt) []lab.Action {
			told <- a.Msg.IsEdns0().UDPSize()
			return answerWith(trueAddress)
		})
		for flag, sizes := range map[string]map[uint16]uint16{
			"1232": {512: 512, 1000: 1000, 1232: 1232, 4096: 1232, 65535: 1232, 100: 512},
			"4096": {512: 512, 1400: 1400, 4096: 4096, 65535: 4096},
		} {
			d := startDNSD(t, to(v.flag, u), "--dns-udp-size="+flag)
			for client, want := range sizes {
				d.ask(t, "udp", plainQuery(v.name, dns.TypeA).SetEdns0(client, false))
				if got := <-told; got != want {
					t.Errorf("DNS_UDP_SIZE=%s: a client that takes %d had %d told upstream, want %d", flag, client, got, want)
				}
			}
		}
	})
}

// A client without EDNS never gets an OPT, one with EDNS always does, whatever
// the server sends.
func TestOPTFollowsTheClient(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		always := func(_ *lab.Query, reply *dns.Msg) {
			if reply.IsEdns0() == nil {
				reply.SetEdns0(4096, false)
			}
		}
		for what, edit := range map[string]lab.Edit{"always": always, "never": lab.NoEDNS()} {
			u := scripted(t, func(attempt) []lab.Action {
				return []lab.Action{lab.Reply(lab.Answers("@ 0 IN A "+trueAddress), lab.Extra("extra.example.org. 0 IN A 192.0.2.9"), edit)}
			})
			d := startDNSD(t, to(v.flag, u))
			eachNetwork(t, func(t *testing.T, network string) {
				plain := d.ask(t, network, plainQuery(v.name, dns.TypeA))
				wantAddress(t, plain, trueAddress)
				if plain.IsEdns0() != nil || len(plain.Extra) != 1 {
					t.Errorf("OPT %s: a client without EDNS got:\n%v", what, plain)
				}
				edns := d.ask(t, network, ednsQuery(v.name, dns.TypeA))
				wantAddress(t, edns, trueAddress)
				if opt := edns.IsEdns0(); opt == nil || len(edns.Extra) != 2 || opt.UDPSize() != 1232 {
					t.Errorf("OPT %s: a client with EDNS got:\n%v", what, edns)
				}
			})
		}
	})
}
