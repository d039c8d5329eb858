package tunnel

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
)

var (
	hostPattern   = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9])?$`)
	domainPattern = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)
)

// CheckEndpoint accepts host:port with a name or an address.
func CheckEndpoint(endpoint string) error {
	host, portText, err := net.SplitHostPort(endpoint)
	port, err2 := strconv.ParseUint(portText, 10, 16)
	addr, notAddr := netip.ParseAddr(host)
	if err != nil || err2 != nil || port == 0 || notAddr != nil && !hostPattern.MatchString(host) || addr.Zone() != "" {
		return fmt.Errorf("%q is not the host:port of a gateway", endpoint)
	}
	return nil
}

// EndpointAddr is the address in an endpoint, with or without a port; the zero Addr where
// that has a name.
func EndpointAddr(endpoint string) netip.Addr {
	host, _, err := net.SplitHostPort(endpoint)
	if err != nil {
		host = endpoint
	}
	addr, _ := netip.ParseAddr(host)
	return addr.Unmap()
}

// checkDomain accepts a domain in lower case.
func checkDomain(domain string) error {
	if len(domain) > 253 || !domainPattern.MatchString(domain) {
		return fmt.Errorf("%q is not a domain", domain)
	}
	return nil
}
