#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that are missing for a purpose: `make`,
# `test`, `lint`, `bench`. Does nothing, and needs no rights, if nothing is missing.
set -euo pipefail

# Debian keeps some programs where only root looks.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# What is needed, one line each: purpose, what to look for (a program, or a file
# if it begins with a slash), the package that brings it.
table() {
	cat <<-'END'
		make  make                   make
		test  git                    git
		test  gcc                    gcc
		test  /usr/include/stdlib.h  libc6-dev
		test  dig                    bind9-dnsutils
		test  curl                   curl
		test  dnsmasq                dnsmasq-base
		test  ip                     iproute2
		test  ss                     iproute2
		test  setsid                 util-linux
		test  unshare                util-linux
		test  wg-quick               wireguard-tools
		test  zbarimg                zbar-tools
		test  chromium               chromium
		test  nsenter                util-linux
		test  haproxy                haproxy
		test  keepalived             keepalived
		test  java                   default-jre-headless
		test  /usr/share/java/zookeeper.jar libzookeeper-java
		test  nft                    nftables
		test  systemd-analyze        systemd
		test  wireguard-go           wireguard-go
		test  dbus-daemon            dbus-daemon
		test  ping                   iputils-ping
		test  sysctl                 procps
		test  docker                 docker.io
		test  dockerd                docker.io
		test  debootstrap            debootstrap
		test  /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
		test  sshd                   openssh-server
		test  ssh                    openssh-client
		bench supervisord            supervisor
		lint  shellcheck             shellcheck
		bench iperf3                 iperf3
		bench openvpn                openvpn
		bench openssl                openssl
		bench sshuttle               sshuttle
		bench wrk                    wrk
		bench dnsdist                dnsdist
		bench unbound                unbound
		bench nsd                    nsd
		bench dnsperf                dnsperf
	END
}

# present says whether what a line looks for is there.
present() {
	case "$1" in
	/*) [[ -e $1 ]] ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

missing=()
while read -r purpose what package; do
	for wanted in "$@"; do
		if [[ $purpose == "$wanted" ]] && ! present "$what" && [[ " ${missing[*]-} " != *" $package "* ]]; then
			missing+=("$package")
		fi
	done
done < <(table)
[[ ${#missing[@]} -gt 0 ]] || exit 0

install=(apt-get install --yes --no-install-recommends "${missing[@]}")
if ! command -v apt-get >/dev/null; then
	echo "error: missing: ${missing[*]} (names of Debian packages); this system has no apt-get, install their like" >&2
	exit 1
fi
as_root=()
if [[ $EUID -ne 0 ]]; then
	if ! command -v sudo >/dev/null; then
		echo "error: missing packages, and neither root nor sudo to install them; as root: ${install[*]}" >&2
		exit 1
	fi
	as_root=(sudo)
fi
echo "==> installing ${missing[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update --quiet --quiet
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}"
