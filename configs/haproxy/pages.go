package haproxy

import (
	"fmt"
	"strings"
)

const (
	portalFile  = "portal.html"
	unknownFile = "no-such-service.html"
)

// errorCodes are the errors that HAProxy itself answers with.
var errorCodes = []struct {
	code         int
	reason, text string
}{
	{400, "Bad Request", "The request is not HTTP as it should be."},
	{403, "Forbidden", "The request is not allowed."},
	{408, "Request Timeout", "The request did not come in time."},
	{500, "Internal Server Error", "The load balancer has a problem."},
	{502, "Bad Gateway", "The service did not answer as it should."},
	{503, "Service Unavailable", "No instance of the service takes requests now."},
	{504, "Gateway Timeout", "The service did not answer in time."},
}

// pages are the files with what HAProxy itself answers.
func pages(o *Options) map[string]string {
	files := map[string]string{
		portalFile:  portal(o),
		unknownFile: page("No such service", "<p>No service has this name or path here. It has to be registered in Consul with the tag <code>haproxy</code> and to pass its checks.</p>"),
	}
	for _, e := range errorCodes {
		body := page(fmt.Sprintf("%d %s", e.code, e.reason), "<p>"+e.text+"</p>")
		files[fmt.Sprintf("%d.http", e.code)] = fmt.Sprintf("HTTP/1.1 %d %s\r\nCache-Control: no-cache\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s",
			e.code, e.reason, len(body), body)
	}
	return files
}

// portal is the page of a host. HAProxy fills in the name that the visitor used, which
// is one of the host's own.
func portal(o *Options) string {
	var links strings.Builder
	links.WriteString("<ul>\n")
	for _, link := range o.Links {
		scheme := "http"
		if link.TLS {
			scheme = "https"
		}
		fmt.Fprintf(&links, "<li><a href=\"%s://%%[var(txn.host)]:%d/\">%s</a> (port %d)</li>\n", scheme, link.Port, link.Name, link.Port)
	}
	links.WriteString("</ul>")
	return page("%[var(txn.host)]", links.String())
}

func page(title, body string) string {
	return "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>" + title + "</title></head>\n<body>\n<h1>" + title + "</h1>\n" + body + "\n</body>\n</html>\n"
}
