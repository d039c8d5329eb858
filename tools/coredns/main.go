// Command coredns is CoreDNS with the plugins that tests, pages and benchmarks name. All of
// them would bring the libraries of several clouds along, and take minutes to compile.
package main

import (
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/multisocket"
)

func main() { coremain.Run() }
