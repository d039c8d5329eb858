#!/usr/bin/env bash
# Unpacks the dnsdist of Debian 13 into a folder, with the libraries it needs, for benchmarks: the first
# release of Debian's whose dnsdist can draw ids and sockets towards its servers at random, as all others that are measured do.
# It runs from there, with its own loader, and nothing of it is installed.
set -euo pipefail

to="$1"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{state/lists/partial,cache/archives/partial,unpacked}
: >"$work/status"
mirror="$(sed -nE 's/^(URIs:|deb( \[[^]]*\])?) *(https?:[^ ]*\/debian)\/?( .*)?$/\3/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1 || true)"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} trixie main" >"$work/sources.list"
apt=(apt-get --quiet --quiet -o Dir::State="$work/state" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache"
	-o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null)
[[ $EUID -ne 0 ]] || apt+=(-o APT::Sandbox::User=root)
"${apt[@]}" update
"${apt[@]}" install --yes --no-install-recommends --download-only dnsdist >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
for package in "$work"/cache/archives/*.deb; do
	dpkg-deb --extract "$package" "$work/unpacked"
done
root="$(realpath "$(dirname "$to")")/$(basename "$to")"
cat >"$work/unpacked/dnsdist" <<END
#!/bin/sh
exec "$root"/usr/lib64/ld-linux-*.so.* --library-path "\$(echo "$root"/usr/lib/*-linux-gnu)" "$root/usr/bin/dnsdist" "\$@"
END
chmod +x "$work/unpacked/dnsdist"
rm -rf "$to"
mv "$work/unpacked" "$to"
"$to/dnsdist" --version
