// Package page is the status page: one page of HTML for people, on which they see how
// the daemons, the DNS server, the tunnel's peers and the balancer are, and can do what
// the commands do.
//
// What is shown comes from sources that [Options] name, each asked in bounded time and
// at most every few seconds, and only while somebody looks. Views are computed from what
// they say by pure functions, rendered by html/template and sent again, part by part,
// when they differ (server-sent events).
//
// Whoever shows the token of the API once gets a cookie. Host and Origin of requests are
// checked before they come here, by package control.
package page
