#!/usr/bin/env bash
# Makes the images that the Dockerfile begins with, under the names that they have in
# the registry, out of what this machine has: debootstrap's Debian and the Go toolchain.
#
#     bases.sh CACHE WORK
#
# Docker is found as DOCKER_HOST says; mounts made here are for the caller's namespace to
# lose. Environment: DEBIAN_MIRROR (http://deb.debian.org/debian).
set -euo pipefail
cache=$1 work=$2
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# argument NAME prints the default of a build argument.
argument() { sed -n "s/^ARG $1=//p" Dockerfile | head -n 1; }
codename=$(argument DEBIAN)
debian=debian:$codename-slim
golang=golang:$(argument GO_VERSION)-$codename
root=$cache/debian-$codename
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

# is IMAGE MADE_FROM says whether an image is there and was made from that.
is() { [[ $(docker image inspect --format '{{.Config.Labels.madeFrom}}' "$1" 2>/dev/null) == "$2" ]]; }

# Older than a week it may lack a mend that a package of today depends on.
if [[ ! -e $root.made || -n $(find "$root.made" -mtime +7) ]]; then
	echo "==> debootstrap $codename from $mirror"
	rm -rf "$root" "$root.made"
	debootstrap --variant=minbase "$codename" "$root" "$mirror" >"$work/debootstrap.log" 2>&1 || { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
	rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
	# As in the registry's image.
	rm -rf "$root"/usr/share/{man,doc,info,locale}/*
	printf 'path-exclude /usr/share/%s/*\n' man doc info locale >"$root/etc/dpkg/dpkg.cfg.d/docker"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod +x "$root/usr/sbin/policy-rc.d"
	# How this machine reaches the mirror, if it is not plainly.
	apt-config dump Acquire::http::Proxy >"$root/etc/apt/apt.conf.d/90machine"
	apt-config dump Acquire::https::Proxy >>"$root/etc/apt/apt.conf.d/90machine"
	date +%s >"$root.made"
fi
made=$(<"$root.made")
if ! is "$debian" "$made"; then
	echo "==> $debian"
	tar --create --directory "$root" . | docker import --change "LABEL madeFrom=$made" --change 'CMD ["bash"]' - "$debian" >/dev/null
fi

# needed prints what the programs of the image are compiled from, as far as this machine
# has it: folders of modules and, of what is compiled, the archives. Indexes are small.
needed() {
	local of
	for of in "tools/consul github.com/hashicorp/consul" "tools/consul-template github.com/hashicorp/consul-template" ". ./cmd/panteras"; do
		CGO_ENABLED=0 go list -C "${of% *}" -deps -export -trimpath -f '{{.Export}}{{"\n"}}{{with .Module}}{{.Dir}}{{end}}' "${of#* }"
	done | sort --unique | sed -n -e "s|^$(go env GOMODCACHE)/|mnt/pkg/mod/|p" -e "s|^$(go env GOCACHE)/|mnt/go-build/|p"
	(cd "$work/golang" && find mnt/go-build -name '*-a')
	echo mnt/pkg/mod/cache/download
	[[ ! -e $work/golang/mnt/ca-certificates.crt ]] || echo mnt/ca-certificates.crt
}

# The toolchain comes with the modules and compiled packages that this machine has
# already. They only save time: Go looks what they were made from before it takes them.
if ! is "$golang" "$made $(go env GOVERSION)"; then
	echo "==> $golang"
	mkdir -p "$work"/golang/usr/local/go "$work"/golang/mnt/{pkg/mod,go-build}
	mount --bind "$(go env GOROOT)" "$work/golang/usr/local/go"
	mount --bind "$(go env GOCACHE)" "$work/golang/mnt/go-build"
	mount --bind "$(go env GOMODCACHE)" "$work/golang/mnt/pkg/mod"
	# A proxy of modules may have a certificate that only this machine knows.
	certificates=/etc/ssl/certs/ca-certificates.crt
	[[ ! -e $certificates ]] || cp "$certificates" "$work/golang/mnt/"
	needed >"$work/needed"
	tar --create --exclude='mnt/pkg/mod/cache/download/*.zip' --exclude=usr/local/go/test --directory "$root" . \
		--directory "$work/golang" usr/local/go --files-from "$work/needed" |
		docker import --change "LABEL madeFrom=\"$made $(go env GOVERSION)\"" \
			--change 'ENV GOPATH=/mnt' --change 'ENV GOCACHE=/mnt/go-build' --change 'ENV GOTOOLCHAIN=local' --change 'ENV SSL_CERT_FILE=/mnt/ca-certificates.crt' \
			--change 'ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
			- "$golang" >/dev/null
	umount "$work"/golang/usr/local/go "$work"/golang/mnt/{pkg/mod,go-build}
fi
