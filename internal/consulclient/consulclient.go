// Package consulclient makes the client of Consul's API that the settings ask for, and
// says for an operator what its errors mean.
package consulclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"panteras/configs"

	consul "github.com/hashicorp/consul/api"
)

// dialTimeout is how long a connection to the agent, which is near, may take.
const dialTimeout = 5 * time.Second

// New makes a client by CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN and the like. It asks
// nothing yet, but reads the files of the token and of TLS: an error names the setting
// to correct. Connections are not kept, and no proxy is used.
func New(s *configs.Settings) (*consul.Client, error) {
	client, _, err := dial(s)
	return client, err
}

// dial also returns how the client asks: the files that its configuration names have been
// read into it.
func dial(s *configs.Settings) (*consul.Client, *consul.Config, error) {
	if s.ConsulHTTPAddr == "" {
		return nil, nil, errors.New("the address of Consul's API is not known; set IP or CONSUL_HTTP_ADDR")
	}
	tls, err := consul.SetupTLSConfig(&consul.TLSConfig{
		Address:            s.ConsulTLSServerName,
		CAFile:             s.ConsulCACert,
		CAPath:             s.ConsulCAPath,
		CertFile:           s.ConsulClientCert,
		KeyFile:            s.ConsulClientKey,
		InsecureSkipVerify: !s.ConsulHTTPSSLVerify,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot prepare TLS to Consul: %w; look at CONSUL_CACERT, CONSUL_CAPATH, CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY", err)
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		DialContext:         dialer.DialContext,
		TLSClientConfig:     tls,
		TLSHandshakeTimeout: dialTimeout,
		DisableKeepAlives:   true,
	}
	config := &consul.Config{
		Address: s.ConsulHTTPAddr, Scheme: "http",
		Token: s.ConsulHTTPToken, TokenFile: s.ConsulHTTPTokenFile,
		Transport: transport, HttpClient: &http.Client{Transport: transport},
	}
	if s.ConsulHTTPSSL {
		config.Scheme = "https"
	}
	if path, ok := strings.CutPrefix(s.ConsulHTTPAddr, "unix://"); ok {
		// Consul's client would bring a transport of its own for this one.
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
		config.Address, config.Scheme = "localhost", "http"
	}
	client, err := consul.NewClient(config)
	if err != nil {
		return nil, nil, fmt.Errorf("CONSUL_HTTP_TOKEN_FILE: %w", err)
	}
	return client, config, nil
}

// lacking finds in a refusal which right is missing, and on what.
var lacking = regexp.MustCompile(`lacks permission '([a-z_]+:[a-z]+)'(?: on "([^"]*)")?`)

// anonymous is the accessor of the token that stands for none, which is the same in
// every cluster.
const anonymous = "00000000-0000-0000-0000-000000000002"

// Explain says what went wrong in asking Consul at an address: what cannot be reached,
// or which right the token lacks. It never repeats a token.
func Explain(err error, addr string) error {
	var status consul.StatusError
	if !errors.As(err, &status) {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("the Consul at %s does not answer in time", addr)
		}
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("given up before the Consul at %s has answered: %w", addr, context.Canceled)
		}
		// The request that it names says no more than the address.
		if outer := (*url.Error)(nil); errors.As(err, &outer) {
			err = outer.Err
		}
		return fmt.Errorf("cannot reach Consul at %s: %w", addr, err)
	}
	if right := lacking.FindStringSubmatch(status.Body); right != nil {
		kind, level, _ := strings.Cut(right[1], ":")
		rule := fmt.Sprintf("%s %q { policy = %q }", kind, right[2], level)
		if right[2] == "" {
			rule = fmt.Sprintf("%s = %q", kind, level)
		}
		who := "the token of CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE"
		if strings.Contains(status.Body, "anonymous token") || strings.Contains(status.Body, anonymous) {
			who = "no token is set, and the anonymous one"
		}
		return fmt.Errorf("the Consul at %s refuses: %s lacks %s; add to its policy: %s", addr, who, right[1], rule)
	}
	switch {
	case strings.Contains(status.Body, "ACL not found"):
		return fmt.Errorf("the Consul at %s does not know the token of CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE (ACL not found)", addr)
	case status.Code == http.StatusForbidden:
		return fmt.Errorf("the Consul at %s refuses what the token of CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE asks for: %s", addr, oneLine(status.Body))
	}
	return fmt.Errorf("the Consul at %s answers %d: %s", addr, status.Code, oneLine(status.Body))
}

// Hidden is the error of an answer that lacks what the token may not read: Consul leaves it
// out and marks the answer. right is the one that is missing ("key:read"), on what it is
// about. nil if all is there.
func Hidden(meta *consul.QueryMeta, right, on string) error {
	if meta == nil || !meta.ResultsFilteredByACLs {
		return nil
	}
	return consul.StatusError{Code: http.StatusForbidden, Body: fmt.Sprintf("Permission denied: token lacks permission '%s' on %q", right, on)}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
