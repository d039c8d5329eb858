package proc

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// strayLooks is how many looks in a row must find no stray until there is none.
	strayLooks = 10
	// strayTime bounds the killing of strays in one go.
	strayTime = 100 * time.Millisecond
)

// strays are the members of a daemon among the orphans that this process was given. One that
// ends in less than a millisecond and goes on in a child is hardly ever in a table of all
// processes, which takes longer to read; here it is, because its parent has gone.
func (r *Reaper) strays(name string, pid int) []entry {
	// Orphans are given to the first thread (proc_pid_task_children(5)).
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	if err != nil {
		return nil
	}
	var found []entry
	marked := markedAs(name)
	for _, field := range slices.Backward(strings.Fields(string(text))) { // the youngest first
		child, err := strconv.Atoi(field)
		if err != nil {
			continue
		}
		e, ok := readEntry(child)
		if ok && !e.zombie && (e.pid == pid || e.session == pid || e.group == pid || marked(e)) {
			found = append(found, e)
		}
	}
	return found
}

// anyStray tells whether there is one, even if it hides from some looks.
func (r *Reaper) anyStray(name string, pid int) bool {
	for range strayLooks {
		if len(r.strays(name, pid)) > 0 {
			return true
		}
	}
	return false
}

// killStrays kills strays until none is found any more.
func (r *Reaper) killStrays(name string, pid int) {
	deadline := time.Now().Add(strayTime)
	for misses := 0; misses < strayLooks && time.Now().Before(deadline); {
		misses++
		for _, e := range r.strays(name, pid) {
			misses = 0
			kill(e)
		}
	}
}
