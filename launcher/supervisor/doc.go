// Package supervisor keeps the daemons of a plan running: it starts each when what
// it waits for is ready, starts it again when it ends, and stops all in order.
//
//	disabled   absent <─┐          ┌──────────────── backoff <──┐
//	    │               │          v                            │ ended
//	    └─ reload ─> waiting ─> starting ─> ready <─> unhealthy ┤
//	                    ^          │          │                 │
//	                    │          └── stop ──┴─> stopping      └─> failed
//	                    └───── start ─────────── stopped <┘
//
// One goroutine owns all state; whatever happens elsewhere reaches it as a function
// to call. Processes, probes and the clock are the [Runner]'s, [Options.Probe]'s and
// package time's, so tests run it on a fake runner in a synctest bubble.
package supervisor
