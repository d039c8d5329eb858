package store

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// BenchmarkTenThousandPeers tells how long a store of that size takes to be put back
// from a backup, to be read, and until a gateway that follows it knows of a change.
func BenchmarkTenThousandPeers(b *testing.B) {
	const peers = 10_000
	backup := &Backup{Format: BackupFormat, Version: BackupVersion, Cluster: tunnel.NewCluster()}
	for i := range uint64(peers) {
		backup.Peers = append(backup.Peers, tunnel.Peer{Name: fmt.Sprint("peer", i), PublicKey: newKey(), Addresses: both4And6(2 + i)})
	}
	for name, open := range map[string]func(*testing.B) *Store{
		"file": func(b *testing.B) *Store { return NewFile(filepath.Join(b.TempDir(), "peers.json")) },
		"consul": func(b *testing.B) *Store {
			node := lab.Consul(b, lab.ConsulOptions{})
			return NewConsul(node.API, node.HTTPAddr.String())
		},
	} {
		b.Run(name, func(b *testing.B) {
			s := open(b)
			began := time.Now()
			if n, err := s.Import(b.Context(), backup); err != nil || n != peers {
				b.Fatal(n, err)
			}
			imported := time.Since(began)
			changes := make(chan string, 100)
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.Watch(ctx, func(snap tunnel.Snapshot, err error) {
					if err != nil {
						b.Error(err)
					}
					p, _ := snap.Peer("peer0")
					changes <- p.Expires.String()
				})
			}()
			<-changes
			var converged time.Duration
			expires := time.Now().UTC().Truncate(time.Second)
			for b.Loop() {
				if snap, err := s.Read(b.Context()); err != nil || len(snap.Peers) != peers {
					b.Fatal(len(snap.Peers), err)
				}
				b.StopTimer()
				expires = expires.Add(time.Second)
				if _, err := s.Update(b.Context(), "peer0", func(p *tunnel.Peer) error { p.Expires = expires; return nil }); err != nil {
					b.Fatal(err)
				}
				began = time.Now()
				for <-changes != expires.String() {
				}
				converged += time.Since(began)
				b.StartTimer()
			}
			cancel()
			<-done
			b.ReportMetric(imported.Seconds(), "s/import")
			b.ReportMetric(converged.Seconds()/float64(b.N), "s/converge")
		})
	}
}
