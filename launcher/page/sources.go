package page

import (
	"context"
	"time"

	"panteras/configs/haproxy"
	"panteras/launcher"
	"panteras/launcher/logs"

	dto "github.com/prometheus/client_model/go"
)

// Launcher is what runs the daemons. The actions return when the thing is done, or ctx
// is; what was begun goes on then.
type Launcher interface {
	Status(ctx context.Context) (launcher.Status, error)
	Start(ctx context.Context, name string) error
	Stop(ctx context.Context, name string) error
	Restart(ctx context.Context, name string) error
}

// Logs is the output of daemons.
type Logs interface {
	Follow(ctx context.Context, daemon string, n int) <-chan logs.Line
}

// Peers are the devices that may join the tunnel.
type Peers interface {
	List(ctx context.Context) ([]Peer, error)
	// Add makes a peer; what it returns exists nowhere else. by says who asks, for the
	// audit log; so it does elsewhere.
	Add(ctx context.Context, by string, r PeerRequest) (*Issued, error)
	Disable(ctx context.Context, by, name string) error
	Enable(ctx context.Context, by, name string) error
	Remove(ctx context.Context, by, name string) error
}

// Peer is one of them, as `panteras peer list --json` has it.
type Peer struct {
	Name          string     `json:"name"`
	Addresses     []string   `json:"addresses"`
	Enabled       bool       `json:"enabled"`
	Expires       *time.Time `json:"expires"`
	LastHandshake *time.Time `json:"last_handshake"`
	RxBytes       int64      `json:"rx_bytes"`
	TxBytes       int64      `json:"tx_bytes"`
	Endpoint      string     `json:"endpoint"`
}

// PeerRequest is what is wanted of a new peer, each field as the flag of
// `panteras peer add` takes it; "" leaves the flag out.
type PeerRequest struct {
	Name, System, Expires, Allow, PublicKey string
	Preshared                               bool
}

// Issued is what a new peer's owner gets, as `panteras peer add --json` has it.
type Issued struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	Gateway   string   `json:"gateway"`
	File      string   `json:"file"`
	Config    string   `json:"config"`
	// ScriptFile and Script are "" for systems that need none.
	ScriptFile string `json:"script_file,omitempty"`
	Script     string `json:"script,omitempty"`
	// QR is a picture (PNG) of Config, nil if Config lacks the private key.
	QR []byte `json:"qr,omitempty"`
}

// Balancer is what HAProxy serves.
type Balancer struct {
	Report *haproxy.Report
	// Written is when the report was.
	Written time.Time
}

// Metrics are those of a daemon.
type Metrics = map[string]*dto.MetricFamily

// Link is the user interface of a daemon.
type Link struct {
	Name, URL string
	// Daemon is whose it is.
	Daemon string
}

// Facts are what is the same until settings change.
type Facts struct {
	Host, Version string
	Links         []Link
	// Gateway tells that this host is one.
	Gateway bool
}
