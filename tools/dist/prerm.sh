#!/bin/sh
set -e
[ "$1" = remove ] || exit 0
# A host must not go on asking a server that is gone. What cannot be put back must not keep
# the package either.
/usr/bin/panteras resolvconf restore ||
	echo "panteras: look at /etc/resolv.conf; what was there before is in /var/lib/panteras/resolvconf.json" >&2
if [ -d /run/systemd/system ]; then
	systemctl disable --now panteras || echo "panteras: it may still run; see: systemctl status panteras" >&2
fi
