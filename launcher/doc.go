// Package launcher decides what a host of a role runs: [New] turns settings into a
// [Plan], which holds for every daemon whether it runs and because of which
// setting, its exact arguments, environment and files, how to tell that it is
// ready, what it waits for and how it is stopped.
//
// The package is pure: nothing here reads a file, asks the network or starts
// anything. What has to be known about the machine arrives as [Facts].
//
// There is one file per daemon, and one function in it.
package launcher
