#!/usr/bin/env bash
# Unpacks the distribution's systemd-resolved into a folder, for tests that run it in
# namespaces. It is not installed: that would change how this machine resolves names.
set -euo pipefail

to="$1"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
if ! apt-get download systemd-resolved >log 2>&1; then
	as_root=()
	[[ $EUID -eq 0 ]] || as_root=(sudo)
	"${as_root[@]}" apt-get update --quiet --quiet
	apt-get download systemd-resolved >log 2>&1 || { cat log >&2; exit 1; }
fi
dpkg-deb --extract systemd-resolved_*.deb unpacked
cd - >/dev/null
rm -rf "$to"
mkdir -p "$(dirname "$to")"
mv "$work/unpacked" "$to"
