package dnsserver

import (
	"runtime"
	"sync"
)

// maxWorkers bounds the event loops: beyond it the upstream is the limit.
const maxWorkers = 8

// eventLoops is how many a server has: one for each processor.
var eventLoops = min(runtime.GOMAXPROCS(0), maxWorkers)

// spareProcessor lets one more thread run goroutines than there are event loops. A loop keeps what runs it while it waits for a moment ([sock.Poller.Wait]), and as long as
// the runtime has one to spare, it does not take away that of a loop that waits for longer.
var spareProcessor = sync.OnceFunc(func() {
	if runtime.GOMAXPROCS(0) <= eventLoops {
		runtime.GOMAXPROCS(eventLoops + 1)
	}
})
