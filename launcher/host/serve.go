package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"panteras/configs"
	"panteras/internal/holder"
	"panteras/internal/statefile"
	"panteras/launcher"
	"panteras/launcher/control"
)

// listen opens the control socket and STATUS_LISTEN, or takes them over.
func (h *Host) listen(left *handOver) error {
	settings := h.settings()
	if left != nil && left.Control >= 0 {
		l, err := takeListener[*net.UnixListener](left.Control)
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false)
		h.control = l
	} else {
		l, err := control.Listen(settings.RunDir)
		if err != nil {
			return err
		}
		h.control = l
	}
	if left != nil && left.Status >= 0 {
		l, err := takeListener[*net.TCPListener](left.Status)
		if err != nil {
			return err
		}
		if l.Addr().String() == settings.StatusListen.String() {
			h.status = l
			return nil
		}
		_ = l.Close() // the setting has changed
	}
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(settings.StatusListen))
	if err != nil {
		// Daemons matter more than the page that shows them.
		h.o.Log.Error("the status server cannot listen; set STATUS_LISTEN to a free address",
			"address", settings.StatusListen.String(), "error", err, "held_by", holder.Find(settings.StatusListen, "tcp"))
		return nil
	}
	h.status = l
	return nil
}

// takeListener makes a listener of a descriptor from before an execve.
func takeListener[L net.Listener](fd int) (L, error) {
	var none L
	file := inheritedFile(fd, "listener")
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return none, fmt.Errorf("cannot take over a listener: %w", err)
	}
	typed, ok := l.(L)
	if !ok {
		_ = l.Close()
		return none, fmt.Errorf("a listener that was handed over is a %T", l)
	}
	return typed, nil
}

// closeTime is how long requests have to end.
const closeTime = time.Second

// serve answers on both.
func (h *Host) serve() (stop func(), err error) {
	loaded, plan := h.current()
	settings := &loaded.Settings
	token := h.token(settings)
	if token != "" {
		h.o.Log.Info("status server", "address", h.status.Addr().String(), "token_file", tokenFile(settings))
	}
	server := control.New(control.Options{
		Supervisor: commands{h}, Logs: h.logs, Token: token, Names: control.Names(settings), Build: h.o.Build,
		Children: plan.Metrics(), Log: h.o.Log,
	})
	h.mu.Lock()
	h.server, h.page = server, h.newPage(server, token)
	status := h.page
	h.mu.Unlock()
	server.SetPage(status)
	h.serveSocket(server, h.socket())
	if h.status != nil {
		go func() {
			if err := server.ServeTCP(h.status); err != nil {
				h.o.Log.Error("the status server has ended", "error", err)
			}
		}()
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		status.Close()
		server.Close(ctx)
		_ = os.Remove(filepath.Join(settings.RunDir, control.SocketName))
	}, nil
}

// serveSocket answers on a control socket until it is closed.
func (h *Host) serveSocket(server *control.Server, l *net.UnixListener) {
	go func() {
		if err := server.ServeSocket(l); err != nil && !errors.Is(err, net.ErrClosed) {
			h.o.Log.Error("the control socket is not served any more", "error", err)
		}
	}()
}

// socket is the control socket.
func (h *Host) socket() *net.UnixListener {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.control
}

// renewSocket opens the control socket anew if somebody has removed its file, without
// which no command reaches this launcher, and another one could be started beside it.
func (h *Host) renewSocket() {
	runDir := h.settings().RunDir
	if _, err := os.Lstat(filepath.Join(runDir, control.SocketName)); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	err := statefile.MakeOpenFolder(runDir)
	var l *net.UnixListener
	if err == nil {
		l, err = control.Listen(runDir)
	}
	if err != nil {
		h.o.Log.Error("the control socket was removed; no command reaches this launcher", "error", err)
		return
	}
	h.o.Log.Warn("the control socket was removed; it is there again", "run_dir", runDir)
	h.mu.Lock()
	old, server := h.control, h.server
	h.control = l
	h.mu.Unlock()
	h.serveSocket(server, l)
	_ = old.Close()
}

func tokenFile(s *configs.Settings) string { return filepath.Join(s.StateDir, control.TokenName) }

// token is what lets people in at STATUS_LISTEN; none if nobody can be.
func (h *Host) token(s *configs.Settings) string {
	if h.status == nil {
		return ""
	}
	token, err := control.Token(tokenFile(s))
	if err != nil {
		h.o.Log.Error("nobody is let in at STATUS_LISTEN", "error", err)
	}
	return token
}

// letIn applies settings to who is let in at STATUS_LISTEN, and how this host is called.
func (h *Host) letIn(s *configs.Settings) {
	token := h.token(s)
	h.page.SetToken(token) // first, so that nobody comes back in with an old cookie
	h.server.SetAccess(token, control.Names(s))
}

// commands is the host as it is controlled. What a supervisor does not do is refused,
// with the reason.
type commands struct{ *Host }

// tailLines is how much of its output is shown of a daemon that does not stay up.
const tailLines = 5

// Status tells what has become of the daemons.
func (h commands) Status() launcher.Status {
	s := h.supervisor.Status()
	for i, d := range s.Daemons {
		if d.State == launcher.StateBackoff || d.State == launcher.StateFailed {
			for _, line := range h.logs.Tail(d.Name, tailLines) {
				s.Daemons[i].Output = append(s.Daemons[i].Output, line.Text)
			}
		}
	}
	return s
}

// Start starts a daemon.
func (h commands) Start(ctx context.Context, name string) error {
	return refused(h.supervisor.Start(ctx, name))
}

// Stop stops a daemon.
func (h commands) Stop(ctx context.Context, name string) error {
	return refused(h.supervisor.Stop(ctx, name))
}

// Restart starts a daemon anew.
func (h commands) Restart(ctx context.Context, name string) error {
	return refused(h.supervisor.Restart(ctx, name))
}

// Reload reads the settings again.
func (h commands) Reload(ctx context.Context, name string) error {
	return refused(h.supervisor.Reload(ctx, name))
}

func refused(err error) error {
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", control.ErrRefused, err)
}
