package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// growingFile is restricted/host of a master among the first so many hosts.
func growingFile(host, masters int) []string {
	var consul, zookeeper []string
	for i := range masters {
		consul = append(consul, fmt.Sprintf("10.7.0.%d", i+1))
		zookeeper = append(zookeeper, fmt.Sprintf("10.7.0.%d:2181", i+1))
	}
	return []string{
		fmt.Sprintf("IP=10.7.0.%d HOSTNAME=node-%d ZOOKEEPER_ID=%d", host, host, host),
		"SLAVE=false START_MESOS_MASTER=false START_MARATHON=false START_CHRONOS=false START_DNS=false",
		`CONSUL_HOSTS="` + strings.Join(consul, " ") + `"`,
		"ZOOKEEPER_HOSTS=" + strings.Join(zookeeper, ","),
		"DNS_UPSTREAMS=127.0.0.1:9",
		`ZOOKEEPER_JAVA_OPTS="-Xmx64m -XX:TieredStopAtLevel=1"`,
		`CONSUL_PARAMS="` + quickConsul + `"`,
	}
}

// TestUpGrowsToFiveMasters does what docs/operations.md says of three masters that become
// five: what was written stays, and at each step there is one leader.
func TestUpGrowsToFiveMasters(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 5)
	old := l.hosts[:3]
	for i, h := range old {
		h.settings(t, growingFile(i+1, 3)...)
		h.start(t)
	}
	for _, h := range old {
		h.ready(t, "consul", "zookeeper")
	}
	wantQuorum(t, old, 3)
	old[0].do(t, func() { httpDo("PUT", old[0].ip+":8500", "/v1/kv/kept", "kept") })

	leads := func(h *lanHost) int {
		if h.zooKeeperMode(t) == "leader" {
			return 1
		}
		return 0
	}
	for n := 4; n <= 5; n++ {
		all, old := l.hosts[:n], slices.Clone(l.hosts[:n-1])
		for i, h := range all {
			h.settings(t, growingFile(i+1, n)...)
		}
		all[n-1].start(t)
		all[n-1].ready(t, "consul", "zookeeper")
		wantQuorum(t, all, n)
		slices.SortStableFunc(old, func(a, b *lanHost) int { return leads(a) - leads(b) })
		if leads(old[n-2]) != 1 {
			t.Fatal("none of the old ZooKeepers leads")
		}
		for _, h := range old {
			h.must(t, "reload")
			h.ready(t, "consul", "zookeeper")
			wantQuorum(t, all, n)
		}
	}
	for _, h := range l.hosts {
		if kept := h.get(t, "/v1/kv/kept?raw&consistent"); kept != "kept" {
			t.Errorf("%s knows %q, want what was put before", h.ip, kept)
		}
	}
}
