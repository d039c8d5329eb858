package test

import (
	"net/netip"
	"strings"
	"testing"

	"panteras/internal/lab"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// company is a recursor that knows a wildcard for the company's domain, as
// companies have it: it has both kinds of addresses.
func company(q *lab.Query) []lab.Action {
	if q.Msg == nil || !dns.IsSubDomain("my.own.domain.com.", strings.ToLower(q.Msg.Question[0].Name)) {
		return onlyExample(q)
	}
	switch q.Msg.Question[0].Qtype {
	case dns.TypeA:
		return []lab.Action{lab.Reply(lab.Answers("@ 60 IN A 203.0.113.80"))}
	case dns.TypeAAAA:
		return []lab.Action{lab.Reply(lab.Answers("@ 60 IN AAAA 2001:db8::80"))}
	case dns.TypeTXT:
		return []lab.Action{lab.Reply(lab.Answers(`@ 60 IN TXT "company"`))}
	}
	return []lab.Action{lab.Reply(lab.Authority("my.own.domain.com. 60 IN SOA ns.domain.com. x.domain.com. 1 1 1 1 60"))}
}

// Services have a name under HAPROXY_ADD_DOMAIN, with the answers that they
// have under their own.
func TestServicesUnderTheAddedDomain(t *testing.T) {
	t.Parallel()
	eachConsul(t, func(t *testing.T, version string) {
		node := lab.Consul(t, lab.ConsulOptions{Version: version})
		node.Register(t, lab.Instances("python", 4, 4)...)
		node.Register(t, lab.Instances("web", 10, 10)...)
		node.Register(t, lab.Service{Name: "six", Address: "fd00::1", Port: 80}, lab.Service{Name: "alias", Address: "www.example.com", Port: 80})
		for name, flag := range map[string]string{
			"leading dot": "--haproxy-add-domain=.my.own.domain.com",
			"no dot":      "--haproxy-add-domain=my.own.domain.com",
		} {
			t.Run(name, func(t *testing.T) {
				r := newRecursor(t, company)
				f := startForwarder(t, node.DNS, r.Addr, flag)
				added := renaming{from: "consul.", to: "my.own.domain.com."}
				for _, service := range []string{"python", "PyThOn", "web", "six", "alias"} {
					for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV} {
						own := service + ".service.consul"
						all := whole(t, node.DNS, own, qtype)
						for _, over := range transports {
							q := question{service + ".my.own.domain.com", qtype, over}
							added.compare(t, f, q, mustAsk(t, node.DNS, question{own, qtype, over}), all)
						}
					}
				}
				if asked := r.asked(); len(asked) > 0 {
					t.Errorf("the recursor was asked for %q", asked)
				}
				for _, over := range transports {
					none := mustAsk(t, f.Addr, question{"python.my.own.domain.com", dns.TypeAAAA, over})
					if none.Rcode != dns.RcodeSuccess || len(none.Answer) > 0 || len(none.Ns) != 1 || none.Ns[0].Header().Name != "my.own.domain.com." {
						t.Errorf("the IPv6 address of a service without one, %s: not NODATA with the SOA of the added domain:\n%v", over, none)
					}
				}
			})
		}
	})
}

// A longer name than Consul was asked for leaves less room; the answer stays
// one that a client can use.
func TestAnAddedDomainLeavesRoom(t *testing.T) {
	t.Parallel()
	eachConsul(t, func(t *testing.T, version string) {
		node := lab.Consul(t, lab.ConsulOptions{Version: version})
		node.Register(t, lab.Instances("many", 90, 90)...)
		const domain = "services.of.the.company.in.a.rather.long.domain.example.com"
		f := startForwarder(t, node.DNS, newRecursor(t, onlyExample).Addr, "--haproxy-add-domain="+domain)
		for _, size := range []uint16{0, 512, 513, 560, 600, 1000, 1231, udpSize} {
			q := question{"many." + domain, dns.TypeA, transport{"udp", size}}
			want := mustAsk(t, node.DNS, question{"many.service.consul", dns.TypeA, q.over})
			got := mustAsk(t, f.Addr, q)
			checkFrame(t, q, got, udpSize)
			room := q.over.limit(udpSize) - 12 - len("many."+domain) - 2 - 4
			if size > 0 {
				room -= optBytes
			}
			if fit := min(len(want.Answer), room/16); got.Truncated || len(got.Answer) != fit {
				t.Errorf("%v: TC is %v with %d addresses; Consul gave %d, and %d fit", q, got.Truncated, len(got.Answer), len(want.Answer), fit)
			}
		}
	})
}

// The company owns the added domain: what Consul does not know, and all while
// Consul is away, is the recursor's to answer.
func TestTheCompanyAnswersTheRestOfItsDomain(t *testing.T) {
	t.Parallel()
	alive := lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
		if q.Msg != nil && strings.EqualFold(q.Msg.Question[0].Name, "python.service.consul.") {
			if q.Msg.Question[0].Qtype == dns.TypeA {
				return []lab.Action{lab.Reply(lab.Answers("@ 0 IN A 10.1.0.1"))}
			}
			return []lab.Action{lab.Reply(lab.Authority("consul. 0 IN SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"))}
		}
		return []lab.Action{lab.Reply(lab.Rcode(dns.RcodeNameError), lab.Authority("consul. 0 IN SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"))}
	}, lab.LikeConsul119())
	silent := lab.NewUpstream(t, lab.Script())
	failing := lab.NewUpstream(t, lab.Script(lab.Reply(lab.Rcode(dns.RcodeServerFailure))))
	closed := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), lab.Port(t))
	for name, consul := range map[string]netip.AddrPort{
		"Consul runs": alive.Addr, "Consul is silent": silent.Addr, "Consul fails": failing.Addr, "Consul is not there": closed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRecursor(t, company)
			f := startForwarder(t, consul, r.Addr)
			runs := consul == alive.Addr
			for _, c := range []struct {
				name  string
				qtype uint16
				want  string
			}{
				{"python.my.own.domain.com", dns.TypeA, pick(runs, "10.1.0.1", "203.0.113.80")},
				{"python.my.own.domain.com", dns.TypeAAAA, pick(runs, "", "2001:db8::80")},
				{"nothere.my.own.domain.com", dns.TypeA, "203.0.113.80"},
				{"nothere.my.own.domain.com", dns.TypeAAAA, "2001:db8::80"},
				{"python.my.own.domain.com", dns.TypeTXT, `"company"`},
				{"my.own.domain.com", dns.TypeA, "203.0.113.80"},
				{"deeper.python.my.own.domain.com", dns.TypeA, "203.0.113.80"},
			} {
				for _, over := range []transport{{"udp", 0}, {"udp", udpSize}, {"tcp", 0}} {
					q := question{c.name, c.qtype, over}
					got := mustAsk(t, f.Addr, q)
					checkFrame(t, q, got, udpSize)
					if diff := cmp.Diff(c.want, data(got.Answer)); diff != "" || got.Rcode != dns.RcodeSuccess {
						t.Errorf("%v: %s (-want +got):\n%s", q, dns.RcodeToString[got.Rcode], diff)
					}
				}
			}
		})
	}
	t.Cleanup(func() {
		for name, qtype := range map[string]uint16{
			"python.service.consul": dns.TypeTXT, "service.consul": dns.TypeA, "deeper.python.service.consul": dns.TypeA,
		} {
			if n := alive.Asked(name, qtype); n > 0 {
				t.Errorf("Consul was asked %d times for %s %s: that is the company's", n, name, dns.Type(qtype))
			}
		}
		if alive.Asked("python.service.consul", dns.TypeA) == 0 {
			t.Error("Consul was never asked for what is its own")
		}
	})
}

// pick returns one of two.
func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// data returns the data of a section's records, in order, separated by blanks.
func data(section []dns.RR) string {
	var texts []string
	for _, rr := range section {
		texts = append(texts, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(texts, " ")
}
