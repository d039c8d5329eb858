package proc

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

func TestTheControlGroupIsFound(t *testing.T) {
	t.Parallel()
	const hybrid = "25 19 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n26 25 0:23 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	for _, test := range []struct{ name, mounts, groups, exists, want string }{
		{"version 2", "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n", "0::/system.slice/panteras.service\n", "sys/fs/cgroup/system.slice/panteras.service", "/sys/fs/cgroup/system.slice/panteras.service"},
		{"both versions", hybrid + "27 25 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "4:memory:/x\n0::/\n", "sys/fs/cgroup/unified", "/sys/fs/cgroup/unified"},
		{"version 1 alone", hybrid, "4:memory:/x\n", "sys/fs/cgroup/memory/x", ""},
		{"a part of the hierarchy that holds us", "30 20 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "0::/docker/abc/init\n", "sys/fs/cgroup/init", "/sys/fs/cgroup/init"},
		{"a part of the hierarchy without us", "30 20 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "0::/docker/abcd\n", "sys/fs/cgroup", ""},
		{"outside of the namespace", "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "0::/../other\n", "sys/fs/cgroup", ""},
		{"garbage", "- cgroup2 \n30\n", "0::\n0::/\n", "sys/fs/cgroup", ""},
		{"nothing", "", "", "sys/fs/cgroup", ""},
	} {
		root := fstest.MapFS{
			"proc/self/mountinfo":         {Data: []byte(test.mounts)},
			"proc/self/cgroup":            {Data: []byte(test.groups)},
			test.exists + "/cgroup.procs": {},
		}
		if got := findCgroup(root); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if got := findCgroup(fstest.MapFS{}); got != "" {
		t.Errorf("without /proc: %q", got)
	}
}

// newCgroup makes a group below that of the test.
func newCgroup(t *testing.T) *Cgroup {
	t.Helper()
	c := NewCgroup()
	if c == nil {
		t.Skip("there is no control group of version 2 that we may write to")
	}
	t.Cleanup(c.Remove)
	return c
}

// A process can shed its session, its group, its parent and its environment at once. Its
// control group it keeps.
func TestAControlGroupIsNotEscapedFrom(t *testing.T) {
	c := newCgroup(t)
	r := newReaper(t)
	r.cgroup = c
	p := run(t, r, shell(t.Name(), "(env -i /usr/bin/setsid /bin/sh -c '/bin/sleep 1000 & exit 0' &); exit 0"))
	await(t, p.Exited(), "the end of the main process")
	orphan := awaitMembers(t, r, p, 1, "sleep")[0]
	if closed(p.Gone()) {
		t.Error("it is said to have gone while its orphan runs")
	}
	p.KillAll()
	await(t, p.Gone(), "the end of the orphan")
	if _, exists := readEntry(orphan); exists && !c.daemon(p.name).pids()[orphan] {
		t.Logf("process %d is not reaped yet", orphan)
	}
	if left, _ := filepath.Glob(filepath.Join(c.dir, "daemon-*")); len(left) > 0 {
		t.Errorf("groups left: %v", left)
	}
	c.Remove()
	if _, err := os.Stat(c.dir); err == nil {
		t.Error("the group is still there")
	}
}

func TestAKilledGroupIsDead(t *testing.T) {
	c := newCgroup(t)
	r := newReaper(t)
	r.cgroup = c
	p := run(t, r, shell(t.Name(), "setsid sleep 1000 & wait"))
	awaitMembers(t, r, p, 1, "sleep")
	c.Kill()
	await(t, p.Gone(), "the end of the daemon")
}

func TestNoControlGroupIsNoTrouble(t *testing.T) {
	t.Parallel()
	var none *Cgroup
	none.Kill()
	none.Remove()
	if err := none.daemon("x").add(1); err != nil || len(none.pids()) > 0 || CgroupAt("") != nil {
		t.Errorf("error %v", err)
	}
}
