package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"panteras/launcher"

	consul "github.com/hashicorp/consul/api"
)

// client keeps no connections, asks no proxy and goes where it is sent and nowhere else.
func client(trust *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:        trust,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: most,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// trust reads the files of a probe over TLS each time, since they may have changed; nil
// is what Go does by default.
func trust(t *launcher.TLS) (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	config, err := consul.SetupTLSConfig(&consul.TLSConfig{
		Address: t.ServerName, CAFile: t.CAFile, CAPath: t.CAPath, CertFile: t.CertFile, KeyFile: t.KeyFile, InsecureSkipVerify: t.SkipVerify,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot prepare TLS: %w", err)
	}
	return config, nil
}

// checkHTTP wants a status of 200 to 299 and what the probe expects in the body.
func checkHTTP(ctx context.Context, p launcher.Probe) error {
	address, expect := p.URL, p.Expect
	config, err := trust(p.TLS)
	if err != nil {
		return fmt.Errorf("cannot ask %s: %w", address, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "panteras")
	response, err := client(config).Do(request)
	if err != nil {
		// The outer error repeats the address.
		if outer := (*url.Error)(nil); errors.As(err, &outer) {
			err = outer.Err
		}
		return fmt.Errorf("cannot ask %s: %s", address, explain(err))
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode >= 300 && response.StatusCode <= 399:
		return fmt.Errorf("%s answers %s to %q, which is not followed", address, response.Status, response.Header.Get("Location"))
	case response.StatusCode < 200 || response.StatusCode > 299:
		text, _ := io.ReadAll(io.LimitReader(response.Body, most))
		return fmt.Errorf("%s answers %s: %s%s", address, response.Status, quote(string(text)), leaderless(address))
	case expect == "":
		return nil
	}
	found, text, err := look(response.Body, expect)
	switch {
	case found:
		return nil
	case err != nil:
		return fmt.Errorf("%s answers %s, but its text breaks off: %s", address, response.Status, explain(err))
	case len(text) == most:
		return fmt.Errorf("%s answers %s, but %q is not in the first %d KiB, which begin with %s", address, response.Status, expect, most>>10, quote(text))
	}
	return fmt.Errorf("%s answers %s, but %q is not in its text %s%s", address, response.Status, expect, quote(text), leaderless(address))
}

// look reads until it finds expect.
func look(r io.Reader, expect string) (found bool, text string, err error) {
	var read strings.Builder
	chunk := make([]byte, 4096)
	for read.Len() < most {
		n, err := r.Read(chunk[:min(len(chunk), most-read.Len())])
		read.Write(chunk[:n])
		switch {
		case strings.Contains(read.String(), expect):
			return true, "", nil
		case err == io.EOF:
			return false, read.String(), nil
		case err != nil:
			return false, read.String(), err
		}
	}
	return false, read.String(), nil
}

// leaderless explains what it means when a daemon names no leader.
func leaderless(address string) string {
	if strings.HasSuffix(address, "/leader") {
		return ": no leader is elected yet"
	}
	return ""
}
