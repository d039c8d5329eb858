package route

// EmptyZones are the zones a resolver serves empty rather than ask the Internet (RFC 6303 section 4), and invalid. (RFC 6761 section 6.4).
// A route of the settings for one of them, or for a name in it, wins.
func EmptyZones() []string {
	z := []string{
		"invalid",
		"0.in-addr.arpa", "127.in-addr.arpa", "254.169.in-addr.arpa", "2.0.192.in-addr.arpa", "100.51.198.in-addr.arpa", "113.0.203.in-addr.arpa",
		"255.255.255.255.in-addr.arpa",
		"0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
		"d.f.ip6.arpa", "8.e.f.ip6.arpa", "9.e.f.ip6.arpa", "a.e.f.ip6.arpa", "b.e.f.ip6.arpa", "8.b.d.0.1.0.0.2.ip6.arpa",
		"10.in-addr.arpa", "168.192.in-addr.arpa",
	}
	for _, second := range []string{"16", "17", "18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31"} {
		z = append(z, second+".172.in-addr.arpa")
	}
	return z
}
