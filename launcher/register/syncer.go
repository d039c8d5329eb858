package register

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"panteras/configs"
	"panteras/internal/consulclient"

	consul "github.com/hashicorp/consul/api"
)

const (
	// SyncTimeout bounds one [Syncer.Sync], DeregisterTimeout one
	// [Syncer.DeregisterAll], whatever their contexts say.
	SyncTimeout       = 10 * time.Second
	DeregisterTimeout = 5 * time.Second

	// checkInterval and checkTimeout are Registrator's defaults.
	checkInterval = 10 * time.Second
	checkTimeout  = 5 * time.Second

	// prefix tells our services from those of others in the same agent.
	prefix = "panteras:"
	// definition is the key in a service's meta data of what it was made from.
	definition = "panteras-definition"
)

// Syncer makes the services of the agent agree with those that are wanted. It is for
// one goroutine.
type Syncer struct {
	settings *configs.Settings
	log      *slog.Logger
	problem  string // logged last, "" if all was well
}

// New makes a syncer for the agent that the settings name. Nothing is asked yet.
func New(s *configs.Settings, log *slog.Logger) *Syncer {
	return &Syncer{settings: s, log: log}
}

// Sync registers what is wanted and lacks or differs, and removes what is ours and not
// wanted; services of others are left alone. It asks before it changes anything, so it
// may be called at any time: when a daemon's state changes, and every half minute, as
// an agent that lost its data forgets services.
//
// The error joins what did not succeed, one sentence each; the rest is done all the
// same. A problem is logged when it appears or changes, not each time.
func (s *Syncer) Sync(ctx context.Context, want []Service) error {
	ctx, cancel := context.WithTimeout(ctx, SyncTimeout)
	defer cancel()
	return s.noted(s.sync(ctx, want))
}

// DeregisterAll removes everything that is ours. Consul is asked once; if it is gone,
// that is an error and takes a bounded time.
func (s *Syncer) DeregisterAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, DeregisterTimeout)
	defer cancel()
	return s.noted(s.sync(ctx, nil))
}

func (s *Syncer) sync(ctx context.Context, want []Service) error {
	// A client for each time: the file of the token may have changed.
	client, err := consulclient.New(s.settings)
	if err != nil {
		return err
	}
	agent, query := client.Agent(), (&consul.QueryOptions{}).WithContext(ctx)
	present, err := agent.ServicesWithFilterOpts("", query)
	if err != nil {
		return s.explain("cannot list the services of this host", err)
	}
	wanted := map[string]bool{}
	var problems []error
	for _, service := range want {
		r := registration(service)
		wanted[r.ID] = true
		if same(present[r.ID], r) {
			continue
		}
		options := consul.ServiceRegisterOpts{ReplaceExistingChecks: true}.WithContext(ctx)
		if err := agent.ServiceRegisterOpts(r, options); err != nil {
			problems = append(problems, s.explain("cannot register "+service.Name, err))
			continue
		}
		s.log.Info("registered in Consul", "service", service.Name, "address", service.Address, "port", service.Port)
	}
	for _, id := range slices.Sorted(maps.Keys(present)) {
		if !strings.HasPrefix(id, prefix) || wanted[id] {
			continue
		}
		name := strings.TrimPrefix(id, prefix)
		if err := agent.ServiceDeregisterOpts(id, query); err != nil {
			problems = append(problems, s.explain("cannot deregister "+name, err))
			continue
		}
		s.log.Info("deregistered from Consul", "service", name)
	}
	return errors.Join(problems...)
}

func (s *Syncer) explain(what string, err error) error {
	return fmt.Errorf("%s: %w", what, consulclient.Explain(err, s.settings.ConsulHTTPAddr))
}

// noted logs an error that is news, and that the last one is over.
func (s *Syncer) noted(err error) error {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case text == s.problem:
	case text == "":
		s.log.Info("Consul has the services of this host again")
	default:
		for line := range strings.SplitSeq(text, "\n") {
			s.log.Warn("registration in Consul", "problem", line)
		}
	}
	s.problem = text
	return err
}

// registration is a service as the agent takes it.
func registration(s Service) *consul.AgentServiceRegistration {
	r := &consul.AgentServiceRegistration{
		ID: prefix + s.Name, Name: s.Name, Tags: s.Tags, Address: s.Address, Port: int(s.Port),
		Meta: map[string]string{definition: fingerprint(s)},
	}
	check := consul.AgentServiceCheck{HTTP: s.CheckHTTP, TCP: s.CheckTCP, Interval: checkInterval.String(), Timeout: checkTimeout.String()}
	switch {
	case s.CheckHTTP != "":
		check.Name = "GET " + s.CheckHTTP
		r.Checks = consul.AgentServiceChecks{&check}
	case s.CheckTCP != "":
		check.Name = "TCP " + s.CheckTCP
		r.Checks = consul.AgentServiceChecks{&check}
	}
	return r
}

// fingerprint stands for everything about a service. The agent does not tell how it
// checks a service, so this shows that a check has changed.
func fingerprint(s Service) string {
	text, _ := json.Marshal(s)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// same tells whether the agent has a service as it is wanted.
func same(have *consul.AgentService, want *consul.AgentServiceRegistration) bool {
	return have != nil && have.Service == want.Name && have.Port == want.Port && have.Address == want.Address &&
		slices.Equal(have.Tags, want.Tags) && have.Meta[definition] == want.Meta[definition]
}
