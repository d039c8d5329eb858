package restart

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// code is what an exit code of a daemon means.
type code struct {
	kind Kind
	// times is how often in a row a Final code must come before it is believed.
	// Where it cannot be told from a crash (every panic of Go ends with 2), once is
	// not enough.
	times   int
	meaning string
}

// codes are the exit codes that mean more than failure, by the daemon's name.
// Marathon's are in its documentation, consul-template's and ZooKeeper's in their
// sources (cli.go, ExitCode.java), Go's in its package flag.
var codes = map[string]map[int]code{
	"marathon": {
		100: {meaning: "ZooKeeper cannot be reached; see `panteras status zookeeper`"},
		101: {meaning: "the connection to ZooKeeper failed; see `panteras status zookeeper`"},
		103: {kind: AtOnce, meaning: "it lost the leadership, and starts anew as it is meant to"},
		105: {kind: AtOnce, meaning: "it gave up the leadership, and starts anew as it is meant to"},
		111: {kind: Final, times: 1, meaning: "it cannot listen on its port; free the port (`ss -ltnp` shows who has it) or set --http_port in MARATHON_PARAMS, then `panteras start marathon`"},
		112: {kind: Final, times: 1, meaning: "it does not take one of its flags; correct MARATHON_PARAMS or MARATHON_APP_PARAMS, then `panteras reload`"},
	},
	"consul-template": {
		13: {kind: Final, times: 1, meaning: "it does not take one of its flags; correct CONSUL_TEMPLATE_PARAMS or CONSUL_TEMPLATE_APP_PARAMS, then `panteras reload`"},
		15: {kind: Final, times: 1, meaning: "its configuration is wrong; correct what CONSUL_TEMPLATE_PARAMS or CONSUL_TEMPLATE_APP_PARAMS name, then `panteras start consul-template`"},
	},
	"zookeeper": {
		2: {kind: Final, times: 1, meaning: "its configuration is wrong; correct ZOOKEEPER_HOSTS, ZOOKEEPER_PARAMS or ZOOKEEPER_APP_PARAMS, then `panteras reload`"},
		3: {meaning: "it cannot use its data folder; look at STATE_DIR"},
	},
	"registrator": {
		2: {kind: Final, times: 3, meaning: "it does not take one of its flags; correct REGISTRATOR_PARAMS or REGISTRATOR_APP_PARAMS, then `panteras reload`"},
	},
	"dns": {
		2: {kind: Final, times: 3, meaning: "its settings are wrong, or it crashed; correct what its output names, then `panteras reload`"},
	},
	"tunnel": {
		2: {kind: Final, times: 3, meaning: "its settings are wrong, or it crashed; correct what its output names, then `panteras reload`"},
	},
}

// own are the daemons that are this program. Their sockets stay open while they are
// away, so that a restart at once loses next to nothing.
var own = map[string]bool{"dns": true, "tunnel": true}

// ownAtOnce is how often in a row an own daemon that was ready starts again at once.
const ownAtOnce = 3

// signalName is a signal as people write it: SIGTERM.
func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}
