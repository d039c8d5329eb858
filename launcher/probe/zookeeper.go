package probe

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
)

var zooKeeperMode = regexp.MustCompile(`(?m)^Mode: (leader|follower|observer|standalone)\r?$`)

// checkZooKeeper asks srvr, the one of ZooKeeper's four-letter words that is always
// allowed. It tells a mode while the server is part of a quorum, or alone on purpose.
func checkZooKeeper(ctx context.Context, address string) error {
	conn, err := dial(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	// The connection ends with the context: when time is up, or the check called off.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := io.WriteString(conn, "srvr"); err != nil {
		return fmt.Errorf("cannot ask ZooKeeper at %s: %s", address, explain(err))
	}
	answer, err := io.ReadAll(io.LimitReader(conn, most))
	text := string(answer)
	switch {
	case zooKeeperMode.MatchString(text):
		return nil
	case strings.Contains(text, "not currently serving"):
		return fmt.Errorf("ZooKeeper at %s runs but does not serve yet: it starts, or there is no quorum; see the other servers of ZOOKEEPER_HOSTS", address)
	case ctx.Err() != nil:
		return fmt.Errorf("ZooKeeper at %s does not tell its mode: %s", address, explain(ctx.Err()))
	case err == nil && text == "":
		err = io.EOF
	}
	if err != nil {
		return fmt.Errorf("ZooKeeper at %s does not tell its mode: %s", address, explain(err))
	}
	return fmt.Errorf("what listens at %s is no ZooKeeper: it answers srvr with %s", address, quote(text))
}
