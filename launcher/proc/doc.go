// Package proc runs the processes of daemons: it starts them ([Reaper.Start]), tells
// how they ended ([Process.Exited]), which processes belong to them
// ([Reaper.Members]) and when the last of those has gone ([Process.Gone]), and hears
// what they say about themselves ([Notify]).
//
// A [Reaper] makes its process a child subreaper: whatever a daemon leaves behind
// becomes its child, is reaped when it ends, and is still known to be the daemon's. It
// never waits for children in general, so programs that other code of the process
// runs with os/exec are left to that code.
//
// It needs Linux 5.4 or newer, and /proc.
package proc
