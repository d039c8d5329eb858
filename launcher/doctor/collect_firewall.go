package doctor

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/google/nftables"
)

// ourTables begin the names of tables that panteras makes.
const ourTables = "panteras"

func firewall() Firewall {
	f := Firewall{Firewalld: firewalldRuns()}
	conn, err := nftables.New()
	if err == nil {
		var chains []*nftables.Chain
		if chains, err = conn.ListChains(); err == nil {
			f.Dropping = dropping(chains)
		}
	}
	if err != nil {
		f.Err = err.Error()
	}
	return f
}

var (
	families = map[nftables.TableFamily]string{nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6"}
	hooks    = map[nftables.ChainHook]string{*nftables.ChainHookInput: "input", *nftables.ChainHookForward: "forward"}
)

// dropping picks the chains that drop what no rule accepts.
func dropping(chains []*nftables.Chain) []Chain {
	var list []Chain
	for _, c := range chains {
		if c.Hooknum == nil || c.Policy == nil || *c.Policy != nftables.ChainPolicyDrop || strings.HasPrefix(c.Table.Name, ourTables) {
			continue
		}
		family, hook := families[c.Table.Family], hooks[*c.Hooknum]
		if family != "" && hook != "" {
			list = append(list, Chain{family, c.Table.Name, c.Name, hook})
		}
	}
	return list
}

// firewalldRuns looks for its process.
func firewalldRuns() bool {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil && strings.TrimSpace(string(text)) == "firewalld" {
			return true
		}
	}
	return false
}
