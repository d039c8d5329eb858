package test

import (
	"sync"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// SERVFAIL, and of a recursor REFUSED, is taken only if no other server has a
// better answer.
func TestOtherServerOnBadCode(t *testing.T) {
	for _, v := range bothRoutes {
		for _, rcode := range []int{dns.RcodeServerFailure, dns.RcodeRefused} {
			if v.route == "consul" && rcode == dns.RcodeRefused {
				continue // its own test below
			}
			t.Run(v.route+"/"+dns.RcodeToString[rcode], func(t *testing.T) {
				t.Parallel()
				bad, good := scripted(t, rcodeOnly(rcode)), scripted(t, always(trueAddress))
				eachNetwork(t, func(t *testing.T, network string) {
					d := startDNSD(t, to(v.flag, bad, good))
					wantAddress(t, d.ask(t, network, ednsQuery(v.name, dns.TypeA)), trueAddress)
				})
				if bad.Asked(v.name, dns.TypeA) < 2 {
					t.Error("the bad server was not asked first")
				}
				also := scripted(t, rcodeOnly(rcode))
				d := startDNSD(t, to(v.flag, bad, also))
				wantRcode(t, d.ask(t, "udp", ednsQuery("no."+v.name, dns.TypeA)), rcode)
				if also.Asked("no."+v.name, dns.TypeA) == 0 {
					t.Error("the other server was not asked")
				}
			})
		}
	}
}

// What Consul says of a name is the truth: nobody else is asked, and no recursor
// ever hears of it.
func TestConsulsWordIsFinal(t *testing.T) {
	for _, rcode := range []int{dns.RcodeNameError, dns.RcodeRefused, dns.RcodeSuccess} {
		t.Run(dns.RcodeToString[rcode], func(t *testing.T) {
			t.Parallel()
			first, second, recursor := scripted(t, rcodeOnly(rcode)), scripted(t, always(forgedAddress)), scripted(t, always(forgedAddress))
			d := startDNSD(t, to("--consul-dns", first, second), to("--dns-upstreams", recursor))
			eachNetwork(t, func(t *testing.T, network string) {
				reply := d.ask(t, network, ednsQuery("nobody.service.consul", dns.TypeA))
				wantRcode(t, reply, rcode)
				if len(reply.Answer) != 0 {
					t.Errorf("an answer out of nowhere:\n%v", reply)
				}
			})
			if n := second.Asked("nobody.service.consul", dns.TypeA) + recursor.Asked("nobody.service.consul", dns.TypeA); n != 0 {
				t.Errorf("others were asked %d times", n)
			}
		})
	}
}

// Whatever fails at Consul, its names never reach a recursor.
func TestConsulNamesNeverLeak(t *testing.T) {
	for what, script := range map[string]func(attempt) []lab.Action{
		"SERVFAIL": rcodeOnly(dns.RcodeServerFailure), "silent": noAnswer,
		"garbage": func(attempt) []lab.Action { return []lab.Action{lab.Garbage(100)} },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			recursor := scripted(t, func(a attempt) []lab.Action {
				t.Errorf("the recursor was asked for %s", a.name())
				return nil
			})
			d := startDNSD(t, to("--consul-dns", scripted(t, script)), to("--dns-upstreams", recursor))
			var all sync.WaitGroup
			for _, name := range []string{"web.service.consul", "consul", "a.b.c.d.node.consul", "WEB.Service.CONSUL"} {
				for _, qtype := range []uint16{dns.TypeA, dns.TypeDS, dns.TypeSRV, 65280} {
					for _, network := range []string{"udp", "tcp"} {
						all.Go(func() {
							if _, err := exchange(network, d.addr, ednsQuery(name, qtype)); err != nil {
								t.Errorf("%s over %s: %v", name, network, err)
							}
						})
					}
				}
			}
			all.Wait()
		})
	}
}

// The recursor that answered last is asked first from then on.
func TestRecursorThatAnswersIsPreferred(t *testing.T) {
	t.Parallel()
	bad, good := scripted(t, rcodeOnly(dns.RcodeServerFailure)), scripted(t, always(trueAddress))
	d := startDNSD(t, to("--dns-upstreams", bad, good))
	wantAddress(t, d.ask(t, "udp", ednsQuery("one.example.org", dns.TypeA)), trueAddress)
	wantAddress(t, d.ask(t, "udp", ednsQuery("two.example.org", dns.TypeA)), trueAddress)
	if n := bad.Asked("two.example.org", dns.TypeA); n != 0 {
		t.Errorf("the bad recursor was asked again: %d times", n)
	}
}
