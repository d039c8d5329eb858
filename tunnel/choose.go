package tunnel

import (
	"errors"
	"fmt"
	"strings"
)

// ChooseGateway picks the gateway that a client file is made for: the one named, or
// else the only one, or that of this host. Twins count as one.
func ChooseGateway(gateways []GatewayInfo, name, host string) (GatewayInfo, error) {
	if len(gateways) == 0 {
		return GatewayInfo{}, errors.New("no gateway has made itself known in the store; start one: set TUNNEL_ENDPOINT there and run `panteras gateway`")
	}
	names := make([]string, len(gateways))
	twins := true
	for i := range gateways {
		names[i] = gateways[i].Name
		twins = twins && gateways[i].Twin(&gateways[0])
	}
	wanted := name
	if wanted == "" {
		wanted = host
	}
	for i := range gateways {
		if gateways[i].Name == wanted {
			return gateways[i], nil
		}
	}
	switch {
	case name != "":
		return GatewayInfo{}, fmt.Errorf("there is no gateway %q; there are: %s", name, strings.Join(names, ", "))
	case !twins:
		return GatewayInfo{}, fmt.Errorf("there are several gateways: %s; say which one with --gateway; `panteras gateway forget NAME` takes away one that is gone", strings.Join(names, ", "))
	}
	return gateways[0], nil
}
