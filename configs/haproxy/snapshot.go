package haproxy

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Template is what consul-template renders to a snapshot.
//
//go:embed snapshot.ctmpl
var Template string

// Snapshot is what Consul knows of services at one moment.
type Snapshot struct {
	// Datacenters are all that Consul knows.
	Datacenters []string `json:"datacenters"`
	// Maxconn is how many connections a server of a service takes, by the key
	// service/maxconn below haproxy/ in Consul's KV store.
	Maxconn map[string]string `json:"maxconn"`
	// Unnamed are services whose names no host name can have, so that Consul was not
	// even asked for their instances.
	Unnamed []string `json:"unnamed"`
	// Instances are the passing instances of services with tags for HAProxy. The
	// template ends its lists with null.
	Instances []*Instance `json:"instances"`
}

// Instance is one passing instance of a service.
type Instance struct {
	Service string   `json:"service"`
	ID      string   `json:"id"`
	Node    string   `json:"node"`
	Address string   `json:"address"`
	Port    int      `json:"port"`
	Tags    []string `json:"tags"`
}

// Decode reads a snapshot. Anything but one whole snapshot is an error: half of one
// would take services away that are well.
func Decode(text []byte) (*Snapshot, error) {
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil, errors.New("the snapshot is empty: consul-template has not rendered it yet")
	}
	var s *Snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("the snapshot is not whole: %w", err)
	}
	if s == nil || s.Instances == nil || s.Datacenters == nil {
		return nil, errors.New("the snapshot lacks instances or datacenters: it is not what consul-template makes of our template")
	}
	s.Instances = present(s.Instances)
	return s, nil
}

// present leaves out the null at the end of a list.
func present(list []*Instance) []*Instance {
	kept := list[:0]
	for _, i := range list {
		if i != nil {
			kept = append(kept, i)
		}
	}
	return kept
}
