package firewall

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// expirySlack is by how much the kernel may end an element earlier or later than our clock
// says; expiryDrift is what is added for a long time: one in so many parts of it. The kernel
// counts ticks, and the host's clock is adjusted to the world's (by up to 0.05% all the time
// and by steps), and goes on while the host sleeps.
const (
	expirySlack = time.Second
	expiryDrift = 1000
)

// slack is how far the two may be apart at the end of a timeout.
func slack(timeout time.Duration) time.Duration { return expirySlack + timeout/expiryDrift }

// elementsRest is how many times as long as comparing the elements took they are left alone
// then, where others change tables of their own all the time: those of 10,000 peers take 0.4 s.
const elementsRest = 20

// InForce says whether the table is what Apply has made it: others remove tables that are not
// theirs, as a reloading firewalld does, or empty their chains, which then let everything
// pass. As long as nobody has changed any table of the host it costs one question.
func (f *Firewall) InForce() bool {
	now, err := f.generation()
	if err != nil || f.rules == nil {
		return false
	}
	if now == f.seen {
		return true
	}
	if shape, _, err := f.look(); err != nil || shape != f.shape {
		return false
	}
	if time.Since(f.compared) < elementsRest*f.compareTook {
		return true // and f.seen stays, so that they are compared later
	}
	began := time.Now()
	if !f.elementsInForce() {
		return false
	}
	f.compared, f.compareTook = time.Now(), time.Since(began)
	f.seen = now // what came meanwhile has another number
	return true
}

// nfgenmsg is the length of the header of netfilter's messages, struct nfgenmsg.
const nfgenmsg = 4

// ask sends a question about nftables to the kernel. (The library has not all of them.)
func ask(message netlink.HeaderType, flags netlink.HeaderFlags, family byte, attributes ...netlink.Attribute) ([]netlink.Message, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	data, err := netlink.MarshalAttributes(attributes)
	if err != nil {
		return nil, err
	}
	return c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | message, Flags: flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, data...),
	})
}

// digestRules is a digest of what the table's rules say, in their order, and their number.
func digestRules() (digest string, rules int, err error) {
	name := netlink.Attribute{Type: unix.NFTA_RULE_TABLE, Data: []byte(tableName + "\x00")}
	list, err := ask(unix.NFT_MSG_GETRULE, netlink.Request|netlink.Dump, byte(nftables.TableFamilyINet), name)
	if err != nil {
		return "", 0, err
	}
	sum := sha256.New()
	for _, m := range list {
		if len(m.Data) > nfgenmsg { // the header holds the generation
			sum.Write(m.Data[nfgenmsg:])
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), len(list), nil
}

// generation is the number of the last change of any table, by anybody. It is never 0.
func generation() (uint32, error) {
	answer, err := ask(unix.NFT_MSG_GETGEN, netlink.Request, unix.AF_UNSPEC)
	if err != nil {
		return 0, err
	}
	for _, m := range answer {
		if len(m.Data) < nfgenmsg {
			continue
		}
		a, err := netlink.NewAttributeDecoder(m.Data[nfgenmsg:])
		if err != nil {
			return 0, err
		}
		a.ByteOrder = binary.BigEndian
		for a.Next() {
			if a.Type() == unix.NFTA_GEN_ID {
				return a.Uint32(), nil
			}
		}
	}
	return 0, errors.New("the kernel does not tell the generation of its rules")
}

// ours takes a transaction of our own for seen: if nobody else had one since, the
// generation is the next one.
func (f *Firewall) ours() {
	if now, err := f.generation(); err == nil && f.seen != 0 && now == f.seen+1 {
		f.seen = now
	}
}

// look describes the table as it is, all but the elements that depend on peers, and counts
// its rules.
func (f *Firewall) look() (shape string, rules int, err error) {
	c, err := nftables.New()
	if err != nil {
		return "", 0, err
	}
	t, err := c.ListTableOfFamily(tableName, nftables.TableFamilyINet)
	if err != nil {
		return "", 0, err
	}
	lines := []string{fmt.Sprintf("flags %d", t.Flags)} // such as: dormant
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return "", 0, err
	}
	for _, chain := range chains {
		if chain.Table.Name != tableName {
			continue
		}
		line := "chain " + chain.Name
		if chain.Hooknum != nil && chain.Priority != nil && chain.Policy != nil {
			line += fmt.Sprintf(" hook %d priority %d policy %d", *chain.Hooknum, *chain.Priority, *chain.Policy)
		}
		lines = append(lines, line)
	}
	digest, rules, err := digestRules()
	if err != nil {
		return "", 0, err
	}
	lines = append(lines, "rules "+digest)
	for _, s := range f.sides {
		for _, set := range []*nftables.Set{s.gateway, s.routes, s.closed} {
			elements, err := c.GetSetElements(set)
			if err != nil {
				return "", 0, err
			}
			keys := make([]string, len(elements))
			for i, e := range elements {
				keys[i] = fmt.Sprintf("%x-%v", e.Key, e.IntervalEnd)
			}
			slices.Sort(keys)
			lines = append(lines, "set "+set.Name+" "+strings.Join(keys, " "))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), rules, nil
}

// elementsInForce says whether the sets that depend on peers hold what they should.
func (f *Firewall) elementsInForce() bool {
	c, err := nftables.New()
	if err != nil {
		return false
	}
	now := f.now()
	stays := func(expires time.Time) bool { // it was set after the table was written
		return expires.IsZero() || expires.After(now.Add(slack(expires.Sub(f.wrote))))
	}
	for _, s := range f.sides {
		wanted := members(f.rules, s.digit == ipv4.digit)
		for i, set := range s.dynamic {
			missing := 0
			for _, expires := range wanted[i] {
				if stays(expires) {
					missing++
				}
			}
			list, err := c.GetSetElements(set)
			if err != nil {
				return false
			}
			for _, e := range list {
				expires, ok := wanted[i][element{key: string(e.Key), end: string(e.KeyEnd)}]
				if !ok && e.Timeout != 0 && e.Expires <= slack(e.Timeout) {
					continue // it should have gone by itself, and soon will
				}
				if !ok || (e.Timeout != 0) == expires.IsZero() {
					return false
				}
				if stays(expires) {
					missing--
				}
			}
			if missing != 0 {
				return false
			}
		}
	}
	return true
}
