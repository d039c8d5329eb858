// Package guard is the process that a user starts and the launcher of daemons is a
// child of. When either is killed, the other one kills every process below itself, so
// that no daemon outlives `panteras up`.
//
// [Run] is the whole life of a guard: it starts the launcher, which is the same program
// with the same arguments, forwards signals to it, reaps orphans, and ends with the
// exit code of the launcher. In the launcher, [Child] returns the [Link] to its guard;
// from then on the launcher kills its daemons and ends when the guard is gone.
//
// Process groups and PR_SET_PDEATHSIG do not do: a grandchild is spared by the latter,
// and leaves its group as it likes.
package guard
