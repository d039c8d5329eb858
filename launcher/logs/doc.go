// Package logs takes what daemons write to stdout and stderr: line by line to the
// console as `<daemon> | text`, to <daemon>.log in a folder, where it is rotated, and to
// memory, for those who follow it.
//
// Lines are masked before they go anywhere, cut where they are too long, and harmless
// to a terminal. A console that takes nothing, a full disk and a follower that does not
// read never hold up a daemon: what they miss is dropped, counted and reported.
package logs
