#!/usr/bin/env bash
# Unpacks a package of the distribution into a folder, for tests that run it in
# namespaces. It is not installed: systemd-resolved and dhclient would change how this
# machine resolves names.
#
#     unpack.sh PACKAGE FOLDER
set -euo pipefail

package="$1" to="$2"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
if ! apt-get download "$package" >log 2>&1; then
	as_root=()
	[[ $EUID -eq 0 ]] || as_root=(sudo)
	"${as_root[@]}" apt-get update --quiet --quiet
	apt-get download "$package" >log 2>&1 || { cat log >&2; exit 1; }
fi
dpkg-deb --extract "$package"_*.deb unpacked
cd - >/dev/null
rm -rf "$to"
mkdir -p "$(dirname "$to")"
mv "$work/unpacked" "$to"
