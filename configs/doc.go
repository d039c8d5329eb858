// Package configs holds everything an operator may say to panteras: one table
// of settings, read from files, the environment and flags, checked in one
// place, and handed out as one typed [Settings] value.
//
// A setting is one row of the table in table.go. Loading, flags, the printed
// list and the page docs/settings.md all walk that table, so a new setting is
// a new row and nothing else.
//
// Values are looked up from low to high precedence:
//
//	default < common < host < overwrite < environment < flag
//
// where common, host and overwrite are files in the settings folder. They are
// read as shell assignments and never executed; see [Load] for the rules.
//
// The core is pure: [Load] touches nothing but the settings files, and what it
// must know about the machine arrives as [HostFacts], which [ReadHost] collects.
package configs
