package haproxy

import "time"

// Report is what HAProxy serves, and what it does not and why. It is a file, so that
// the next rendering knows who holds which route.
type Report struct {
	// Refused says why the last snapshot has no effect at all; "" if it has.
	Refused string `json:"refused,omitempty"`
	// Broken tells that it was not whole, so that it is not tried again.
	Broken bool `json:"broken,omitempty"`
	// Pending tells that the last snapshot, or if that is broken the one before it, is not
	// in effect and is tried again: for what Refused says, or because HAProxy did not run,
	// or not answer.
	Pending  bool      `json:"pending,omitempty"`
	Backends []Backend `json:"backends"`
	Findings []Finding `json:"findings"`
	// Applied is when a snapshot last came into effect, Reloaded when HAProxy was last
	// reloaded for one; zero for never. Whoever does that sets them.
	Applied  time.Time `json:"applied,omitzero"`
	Reloaded time.Time `json:"reloaded,omitzero"`
}

// Finding is something about a service that has no effect, and what to do about it.
type Finding struct {
	Service string `json:"service"`
	Message string `json:"message"`
}

// Backend is what serves one service by HTTP, or at one TCP port.
type Backend struct {
	// Name is HAProxy's: backend_SERVICE, or tcp_SERVICE_PORT, which is a frontend too.
	Name    string `json:"name"`
	Service string `json:"service"`
	// Port is that of TCP, 0 for HTTP.
	Port uint16 `json:"port,omitempty"`
	// Hosts and Paths are what leads here, in lower case, and as written without a
	// slash at the end.
	Hosts []string `json:"hosts,omitempty"`
	Paths []string `json:"paths,omitempty"`
	// Check is the method and path of an HTTP check; "" is one by TCP.
	Check   string   `json:"check,omitempty"`
	Servers []Server `json:"servers"`
}

// Server is one instance as HAProxy sees it.
type Server struct {
	// Name follows from node, address and port, so the same instance has the same name
	// for good.
	Name    string `json:"name"`
	Address string `json:"address"`
	// Weight is 0 to 256; Maxconn is 0 for as many as come.
	Weight  int `json:"weight"`
	Maxconn int `json:"maxconn"`
}
