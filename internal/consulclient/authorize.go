package consulclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"panteras/configs"

	consul "github.com/hashicorp/consul/api"
)

// Access is something that a token may be allowed to do, as Consul's own user interface
// asks for it.
type Access struct {
	// Resource is "service", "node", "key" and the like.
	Resource string
	// Segment is a name, or the beginning of names.
	Segment string `json:",omitempty"`
	// Access is "read" or "write".
	Access string
}

const (
	// authorizePath is where Consul says what a token may do; it is there since 1.7.
	authorizePath = "/v1/internal/acl/authorize"
	// mostAccesses is how many it answers at once.
	mostAccesses = 64
	// answerLimit bounds what is read of an answer, in bytes.
	answerLimit = 256 << 10
)

// Denied returns those of the accesses that Consul would refuse to the token of the
// settings, in their order; none where Consul allows what no rule denies, as it does without ACLs. Reading what a token may not
// read is no error in Consul, only an answer that lacks it, so nothing else tells.
func Denied(ctx context.Context, s *configs.Settings, all []Access) (denied []Access, err error) {
	_, config, err := dial(s)
	if err != nil {
		return nil, err
	}
	if allows(ctx, config) {
		return nil, nil
	}
	for len(all) > 0 {
		some := all[:min(len(all), mostAccesses)]
		all = all[len(some):]
		answers, err := authorize(ctx, config, some)
		if err != nil {
			return nil, Explain(err, s.ConsulHTTPAddr)
		}
		for i, a := range answers {
			if !a.Allow {
				denied = append(denied, some[i])
			}
		}
	}
	return denied, nil
}

// policyHeader is where each answer of Consul says what becomes of what no rule is about.
const policyHeader = "X-Consul-Default-Acl-Policy"

// allows tells that Consul allows what no rule denies. One without ACLs does, and would
// log an error each time it is asked for rights.
func allows(ctx context.Context, c *consul.Config) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Scheme+"://"+c.Address+c.PathPrefix+"/v1/status/leader", http.NoBody)
	if err != nil {
		return false
	}
	response, err := c.HttpClient.Do(request)
	if err != nil {
		return false // as the question itself will tell
	}
	defer response.Body.Close()
	return response.Header.Get(policyHeader) == "allow"
}

// authorization is one answer.
type authorization struct{ Allow bool }

// authorize asks about so many at once. There are no answers where there are no ACLs.
// Consul's client has no way to send this POST.
func authorize(ctx context.Context, c *consul.Config, some []Access) ([]authorization, error) {
	body, err := json.Marshal(some)
	if err != nil {
		return nil, err
	}
	url := c.Scheme + "://" + c.Address + c.PathPrefix + authorizePath
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.Token != "" {
		request.Header.Set("X-Consul-Token", c.Token)
	}
	response, err := c.HttpClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode == http.StatusUnauthorized && strings.Contains(string(text), "ACL support disabled"):
		return nil, nil
	case response.StatusCode != http.StatusOK:
		return nil, consul.StatusError{Code: response.StatusCode, Body: string(text)}
	}
	var answers []authorization
	if err := json.Unmarshal(text, &answers); err != nil {
		return nil, fmt.Errorf("cannot understand its answer: %w", err)
	}
	if len(answers) != len(some) {
		return nil, fmt.Errorf("it answered %d of %d questions", len(answers), len(some))
	}
	return answers, nil
}
