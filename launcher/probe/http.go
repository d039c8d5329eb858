package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// client keeps no connections, asks no proxy and goes where it is sent and nowhere else.
var client = &http.Client{
	Transport: &http.Transport{
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: most,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// checkHTTP wants a status of 200 to 299 and expect in the body.
func checkHTTP(ctx context.Context, address, expect string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "panteras")
	response, err := client.Do(request)
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
