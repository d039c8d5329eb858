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
	// readiness is nil for a daemon that is asked, and says nothing itself.
	*readiness
	floats
}

// Gone is closed when nothing that belongs to the daemon is left, nor its floating address.
func (p *process) Gone() <-chan struct{} {
	if p.floats.over != nil {
		return p.floats.over
	}
	return p.Process.Gone()
}

// Signal signals the process; one that has ended does not mind.
func (p *process) Signal(sig syscall.Signal) error {
	if err := p.Process.Signal(sig); err != os.ErrProcessDone {
		return err
	}
	return nil
}

// closeAfter forgets the socket when everything of the daemon has ended.
func (p *process) closeAfter() {
	if p.readiness == nil {
		return
	}
	go func() {
		<-p.Gone()
		p.close()
	}()
}

// readiness waits for READY=1 on a daemon's notify socket.
type readiness struct {
	path  string
	uid   int
	ready chan struct{} // closed when it was said

	mu     sync.Mutex
	notify *proc.Notify  // nil when it was given away, or closed
	read   chan struct{} // closed when all of notify's messages were read
	closed bool
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
	r := &readiness{path: notify.Path(), uid: own.uid, ready: make(chan struct{})}
	r.listen(notify)
	return r, nil
}

func (r *readiness) listen(notify *proc.Notify) {
	read := make(chan struct{})
	r.notify, r.read = notify, read
	go func() {
		defer close(read)
		for message := range notify.Messages() {
			if message["READY"] == "1" && !r.isReady() {
				close(r.ready)
			}
		}
	}()
}

// isReady is for the one who reads, and for others when nobody does.
func (r *readiness) isReady() bool {
	select {
	case <-r.ready:
		return true
	default:
		return false
	}
}

// Notified is closed when the daemon has said that it is ready.
func (r *readiness) Notified() <-chan struct{} {
	if r == nil {
		return nil
	}
	return r.ready
}

func (r *readiness) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.notify != nil {
		r.notify.Close()
		r.notify = nil
	}
	if !strings.HasPrefix(r.path, "@") {
		_ = os.Remove(r.path)
	}
}

// detach ends the reading. What the daemon says from then on waits in the socket.
func (r *readiness) detach() (file *os.File, ready bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.notify == nil {
		return nil, false, os.ErrClosed // it has just ended
	}
	if file, err = r.notify.Detach(); err != nil {
		return nil, false, err
	}
	<-r.read
	r.notify = nil
	return file, r.isReady(), nil
}

// attach goes on reading a socket that was given away. It closes the file.
func (r *readiness) attach(file *os.File) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return file.Close()
	}
	notify, err := proc.AdoptNotify(file, r.path, r.uid)
	if err != nil {
		return err
	}
	r.listen(notify)
	return nil
}

// handle is a process on its way to another program.
type handle struct {
	Name string `json:"name"`
	Pid  int    `json:"pid"`
	// Notify is the descriptor of the socket of Path and UID; -1 is none.
	Notify int    `json:"notify"`
	Path   string `json:"path,omitempty"`
	UID    int    `json:"uid"`
	Ready  bool   `json:"ready"`

	file *os.File // of Notify
}

// handOver gives away what another program needs.
func (p *process) handOver() (handle, error) {
	h := handle{Name: p.name, Pid: p.Pid(), Notify: -1}
	if p.readiness == nil {
		return h, nil
	}
	file, ready, err := p.detach()
	if err != nil {
		return handle{}, err
	}
	h.Path, h.UID, h.Ready, h.file, h.Notify = p.path, p.uid, ready, file, int(file.Fd())
	return h, nil
}

// takeBack undoes handOver.
func (p *process) takeBack(h handle) error {
	if h.file == nil {
		return nil
	}
	return p.attach(h.file)
}

// adopt takes a process over.
func adopt(r *proc.Reaper, h handle) (*process, error) {
	p := &process{name: h.Name}
	if h.Notify >= 0 {
		p.readiness = &readiness{path: h.Path, uid: h.UID, ready: make(chan struct{})}
		if h.Ready {
			close(p.ready)
		}
		if err := p.attach(inheritedFile(h.Notify, "notify")); err != nil {
			return nil, err
		}
	}
	p.Process = r.Adopt(h.Name, h.Pid)
	p.closeAfter()
	return p, nil
}
