// Package resolvconf points a host at its own DNS server, and back. What was there is
// kept in a record, so that everything can be put back as it was, also by another
// process and after a crash half-way.
//
// Who writes resolv.conf decides how: systemd-resolved gets a drop-in and goes on;
// NetworkManager is told to leave the file alone; a link to a file that somebody else
// keeps (Debian's resolvconf) becomes resolv.conf.orig, which the DNS server follows for
// its recursors, and into which dhclient is told to write.
package resolvconf
