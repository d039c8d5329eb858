package dnsserver

import (
	"os"
	"runtime/debug"
	"sync"
)

// garbage is how much of the heap in use, in percent, may be garbage before it is collected. Queries over UDP leave none, so collecting costs nothing that counts; the looks
// at the host each second and connections over TCP would double a heap of 5 MB.
const garbage = 25

var collectEarly = sync.OnceFunc(func() {
	if os.Getenv("GOGC") == "" { // whoever runs the server knows better
		debug.SetGCPercent(garbage)
	}
})
