package firewall

import (
	"fmt"
	"slices"

	"github.com/google/nftables"
)

// Warnings returns a sentence for each chain of another table that drops by default where
// packets of the tunnel pass: what our table accepts may end there. It says which command
// helps, unless a rule in that chain already does.
func Warnings(iface string) ([]string, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil, explain("cannot list the chains of other programs", err)
	}
	var out []string
	for _, chain := range chains {
		if w := warning(chain, iface); w != "" {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	return out, nil
}

// familyNames are nft's words.
var familyNames = map[nftables.TableFamily]string{
	nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
}

// warning is what Warnings says about one chain, "" if nothing.
func warning(c *nftables.Chain, iface string) string {
	family := familyNames[c.Table.Family]
	if family == "" || c.Table.Name == tableName || c.Hooknum == nil || c.Policy == nil || *c.Policy != nftables.ChainPolicyDrop {
		return ""
	}
	begin := fmt.Sprintf("chain %s %s %s of another program drops what it does not accept", family, c.Table.Name, c.Name)
	rule := fmt.Sprintf("nft insert rule %s %s %s", family, c.Table.Name, c.Name)
	switch *c.Hooknum {
	case *nftables.ChainHookForward:
		help := fmt.Sprintf("%s iifname %s accept; %s oifname %s ct state established,related accept", rule, iface, rule, iface)
		if c.Table.Name == "filter" && family == "ip" { // Docker's: it has a chain for the rules of others, which it keeps
			help += fmt.Sprintf(" (with Docker better: iptables -I DOCKER-USER -i %s -j ACCEPT; iptables -I DOCKER-USER -o %s -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT)", iface, iface)
		}
		return fmt.Sprintf("%s, so peers may not reach services; unless it accepts the tunnel already: %s", begin, help)
	case *nftables.ChainHookInput:
		return fmt.Sprintf("%s, so peers may reach neither the gateway's port nor DNS; unless it accepts them already: %s iifname %s accept, and: %s udp dport PORT accept with TUNNEL_PORT for PORT", begin, rule, iface, rule)
	}
	return ""
}
