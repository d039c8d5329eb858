// Package controltest has a stand-in for the launcher, for tests of those who control it.
package controltest

import (
	"context"
	"sync"

	"panteras/launcher"
)

// Supervisor remembers what it is asked to do. Its fields are set before it is used.
type Supervisor struct {
	// Daemons is its status.
	Daemons []launcher.DaemonStatus
	// Err is the outcome of every action.
	Err error
	// Block, unless nil, holds up Status until it is closed.
	Block chan struct{}
	// OnUpgrade, unless nil, is called with the path of the new program.
	OnUpgrade func(path string)

	mu    sync.Mutex
	calls []string
}

// Calls are the actions so far, such as "stop consul".
func (s *Supervisor) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.calls...)
}

// Set replaces the status.
func (s *Supervisor) Set(daemons ...launcher.DaemonStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Daemons = daemons
}

// Status implements control.Supervisor, as the others do.
func (s *Supervisor) Status() launcher.Status {
	if s.Block != nil {
		<-s.Block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return launcher.Status{Daemons: append([]launcher.DaemonStatus{}, s.Daemons...)}
}

func (s *Supervisor) call(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, text)
	return s.Err
}

// Start notes "start NAME".
func (s *Supervisor) Start(_ context.Context, name string) error { return s.call("start " + name) }

// Stop notes "stop NAME".
func (s *Supervisor) Stop(_ context.Context, name string) error { return s.call("stop " + name) }

// Restart notes "restart NAME".
func (s *Supervisor) Restart(_ context.Context, name string) error { return s.call("restart " + name) }

// Reload notes "reload NAME".
func (s *Supervisor) Reload(_ context.Context, name string) error { return s.call("reload " + name) }

// Upgrade notes "upgrade PATH".
func (s *Supervisor) Upgrade(_ context.Context, path string) error {
	if s.OnUpgrade != nil {
		s.OnUpgrade(path)
	}
	return s.call("upgrade " + path)
}
