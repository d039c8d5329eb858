package host

import (
	"os"
	"strings"
	"sync"
	"syscall"

	"panteras/launcher/proc"
)

// notifyPrefix begins the names of notify sockets in the folders of daemons.
const notifyPrefix = "notify-"

// process is a daemon's process with what it says of itself.
type process struct {
	*proc.Process
	name string // by which its members are known
	*readiness
}

// Signal signals the process; one that has ended does not mind.
func (p *process) Signal(sig syscall.Signal) error {
	if err := p.Process.Signal(sig); err != os.ErrProcessDone {
		return err
	}
	return nil
}

// readiness waits for READY=1 on a daemon's notify socket.
type readiness struct {
	notify *proc.Notify
	uid    int
	ready  chan struct{}
	once   sync.Once
}

// newReadiness makes a socket for one process.
func newReadiness(path string, own owner) (*readiness, error) {
	if own.uid < 0 {
		own = owner{os.Geteuid(), os.Getegid()}
	}
	notify, err := proc.NewNotify(path, own.uid, own.gid)
	if err != nil {
		return nil, err
	}
	return listenTo(notify, own.uid), nil
}

func listenTo(notify *proc.Notify, uid int) *readiness {
	r := &readiness{notify: notify, uid: uid, ready: make(chan struct{})}
	go func() {
		for message := range notify.Messages() {
			if message["READY"] == "1" {
				r.once.Do(func() { close(r.ready) })
			}
		}
	}()
	return r
}

// closeAfter forgets the socket when everything of the daemon has ended.
func (p *process) closeAfter() {
	go func() {
		<-p.Gone()
		p.close()
	}()
}

// Notified is closed when the daemon has said that it is ready.
func (r *readiness) Notified() <-chan struct{} { return r.ready }

func (r *readiness) close() {
	r.notify.Close()
	if path := r.notify.Path(); !strings.HasPrefix(path, "@") {
		_ = os.Remove(path)
	}
}

// handle is a process on its way to another program.
type handle struct {
	Name   string `json:"name"`
	Pid    int    `json:"pid"`
	Path   string `json:"path"`
	UID    int    `json:"uid"`
	Notify int    `json:"notify"`
}

// handOver gives away what another program needs; the file is the notify socket.
func (p *process) handOver() (handle, *os.File, error) {
	file, err := p.notify.File()
	if err != nil {
		return handle{}, nil, err
	}
	return handle{Name: p.name, Pid: p.Pid(), Path: p.notify.Path(), UID: p.uid, Notify: int(file.Fd())}, file, nil
}

// adopt takes a process over.
func adopt(r *proc.Reaper, h handle) (*process, error) {
	notify, err := proc.AdoptNotify(inheritedFile(h.Notify, "notify"), h.Path, h.UID)
	if err != nil {
		return nil, err
	}
	p := &process{Process: r.Adopt(h.Name, h.Pid), name: h.Name, readiness: listenTo(notify, h.UID)}
	p.closeAfter()
	return p, nil
}
