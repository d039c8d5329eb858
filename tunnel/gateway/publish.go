package gateway

import (
	"context"
	"log/slog"
	"time"

	"panteras/tunnel"
)

// publisher keeps in the store what the gateway says about itself. The store may be slow
// or away, so it works beside the gateway's own goroutine.
type publisher struct{ wanted chan tunnel.GatewayInfo }

func newPublisher() *publisher { return &publisher{make(chan tunnel.GatewayInfo, 1)} }

// publishRetry is how long after a failure the store is asked again.
const publishRetry = time.Second

// lostFor is how long the store may not say of a gateway what it should before it is told again.
const lostFor = 5 * time.Second

// set says what should be published; if it is published already nothing happens.
func (p *publisher) set(info tunnel.GatewayInfo) { latest(p.wanted, info) }

// again says what should be published, whether or not it was: the store has lost it. A
// time that is set marks it.
func (p *publisher) again(info tunnel.GatewayInfo) {
	info.Updated = time.Unix(1, 0)
	p.set(info)
}

// run publishes until ctx is done. With join, the cluster is made if nobody has made it.
func (p *publisher) run(ctx context.Context, store tunnel.Store, cluster tunnel.Cluster, join bool, log *slog.Logger) {
	var wanted, published tunnel.GatewayInfo
	joined, told := !join, false
	retry := time.NewTimer(publishRetry)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case wanted = <-p.wanted:
			if !wanted.Updated.IsZero() {
				published = tunnel.GatewayInfo{}
			}
		case <-retry.C:
			retry.Reset(publishRetry)
		}
		if wanted.Name == "" || wanted.Equal(&published) {
			continue
		}
		err := publish(ctx, store, cluster, &joined, wanted)
		switch {
		case err == nil:
			published, told = wanted, false
			log.Info("published in the store", "gateway", wanted.Name, "endpoint", wanted.Endpoint)
		case !told && ctx.Err() == nil:
			log.Warn("cannot publish this gateway in the store, so client files for it cannot be made yet; trying again", "error", err)
			told = true
		}
	}
}

func publish(ctx context.Context, store tunnel.Store, cluster tunnel.Cluster, joined *bool, info tunnel.GatewayInfo) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if !*joined {
		if _, err := store.Join(ctx, cluster); err != nil {
			return err
		}
		*joined = true
	}
	info.Updated = time.Now().UTC()
	return store.Publish(ctx, info)
}
