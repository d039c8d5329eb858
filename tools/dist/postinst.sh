#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ -z "$2" ]; then
	echo "panteras: look at 'panteras plan', write settings to /etc/panteras/host, then: systemctl enable --now panteras"
elif /usr/bin/panteras status >/dev/null 2>&1; then
	# The launcher becomes the new program; no daemon restarts.
	/usr/bin/panteras upgrade || echo "panteras: the old program goes on; run 'systemctl restart panteras' when it suits" >&2
fi
