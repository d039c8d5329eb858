#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
# Consul's data, keys and peers are not for a package to remove, not even by purge.
if [ "$1" = purge ] && [ -d /var/lib/panteras ]; then
	echo "panteras: /var/lib/panteras stays; remove it when nothing in it is needed"
fi
