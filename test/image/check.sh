#!/usr/bin/env bash
# Builds the image and runs it, on a Docker of its own: a daemon whose socket, data,
# network and processes nobody else sees, and that is gone when this ends. No registry is
# needed; bases.sh makes the images to begin with.
#
#     check.sh        needs root; ends with 77 where something is missing
#
# Nothing of this machine's network changes: the check looks, and fails otherwise.
#
# Data and base images are kept below IMAGE_CACHE ($XDG_CACHE_HOME/panteras/image), so
# that the next time is quick; removing that folder only costs time.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

cache=${IMAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/panteras/image}
ip=10.7.0.1 # as in the pages

say() { echo "==> $(date +%T) $*"; }
die() {
	echo "error: $*" >&2
	exit 1
}

# machine prints what Docker might change of this machine's network.
machine() {
	ip -oneline link show type bridge | cut -d: -f2
	sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding 2>/dev/null || true
	nft --stateless list ruleset
	cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>/dev/null || true
}

# The first run of this script begins a second one that is process 1 of a namespace:
# when it ends, however it ends, everything that it started is killed.
if [[ ${1-} != inside ]]; then
	PATH="$PATH:/usr/sbin:/sbin"
	for program in dockerd docker debootstrap dig ip nsenter nft unshare go dpkg-deb wg-quick; do
		command -v "$program" >/dev/null || { echo "skip: there is no $program here" && exit 77; }
	done
	[[ $EUID -eq 0 ]] || { echo "skip: Docker and namespaces need root" && exit 77; }
	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock --nonblock 9 || { say "waiting for another run to end" && flock 9; }
	work=$(mktemp -d /tmp/panteras-image.XXXXXX)
	trap 'rm -rf "$work"' EXIT
	machine >"$work/machine"
	status=0
	unshare --mount --propagation private --pid --mount-proc --fork --kill-child "$0" inside "$work" || status=$?
	# Cgroups outlive their processes.
	find /sys/fs/cgroup -depth -type d -path "*/$(basename "$work")*" -exec rmdir {} + 2>/dev/null || true
	machine | diff -u "$work/machine" - || die "this machine's network is another one now (- before, + after)"
	exit "$status"
fi
work=$2
mkdir -p "$work/golang" "$work/host" "$work/bin" "$work/module"
export DOCKER_HOST=unix://$work/docker.sock DOCKER_CONFIG=$work/config
export DOCKER_BUILDKIT=0 # Debian has no buildx

# dockerd takes a containerd of the machine where it finds one, as on Debian with systemd. That
# one does not see the mounts of this namespace, and what it starts outlives the namespace.
mkdir -p /run/containerd
mount -t tmpfs tmpfs /run/containerd

# start_docker COMMAND… starts dockerd, and waits until it answers. It has a folder of its
# own for what runs, and knows no networks: one that was kept from another run, or from the
# daemon before, would be that one's "host".
start_docker() {
	rm -rf "$cache/docker/network"
	"$@" --host "$DOCKER_HOST" --data-root "$cache/docker" --exec-root "$(mktemp -d "$work/exec.XXXXXX")" --pidfile "$work/docker.pid" \
		--iptables=false --ip6tables=false --cgroup-parent "/$(basename "$work")" --exec-opt native.cgroupdriver=cgroupfs \
		>>"$work/dockerd.log" 2>&1 9>&- &
	dockerd=$!
	until docker version >/dev/null 2>&1; do
		kill -0 "$dockerd" 2>/dev/null || { tail -n 20 "$work/dockerd.log" >&2 && die "dockerd has ended"; }
		sleep 0.1
	done
}

stop_docker() {
	kill "$dockerd"
	wait "$dockerd" || true
}

# build_options are what this machine needs to reach modules and packages.
build_options() {
	local name
	for name in GOPROXY GOSUMDB; do
		printf -- '--build-arg\n%s=%s\n' "$name" "$(go env "$name")"
	done
	for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
		[[ -z ${!name-} ]] || printf -- '--build-arg\n%s\n' "$name"
	done
}

# build TAG DIR [OPTION…] builds an image, quietly unless it fails.
build() {
	local tag=$1 dir=$2
	shift 2
	say "docker build ${*} -t $tag"
	"$here/docker.sh" build "$@" --tag "$tag" "$dir" >"$work/build.log" 2>&1 || {
		tail -n 40 "$work/build.log" >&2
		return 1
	}
}

# eventually SECONDS WHAT COMMAND… polls until a command succeeds.
eventually() {
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		((SECONDS < deadline)) || { details >&2; die "in vain: $what"; }
		sleep 0.2
	done
}

# details prints what there is to see of every container.
details() {
	local name
	for name in $(docker ps --all --format '{{.Names}}'); do
		say "$name: $(docker inspect --format '{{json .State}}' "$name")"
		docker exec "$name" panteras status || true
		docker logs --tail 40 "$name" || true
	done
}

# A host's network for containers, which has nothing to do with this machine's; its
# neighbour is 10.7.0.2.
make_network() {
	unshare --net -- sleep infinity 9>&- &
	network=$!
	eventually 10 "there is another network" is_apart "$network"
	# shellcheck disable=SC2016
	in_network sh -c 'ip link set lo up && ip link add net0 type veth peer name net1 && ip address add "$0/24" dev net0 &&
		ip link set net0 up && ip link set net1 up && ip route add default via 10.7.0.2 dev net0' "$ip"
}

# in_network COMMAND… runs a program of this machine in the network of the containers.
in_network() { nsenter --net="/proc/$network/ns/net" -- "$@"; }

# is_apart PID says whether a process is in another network than this machine's.
is_apart() { [[ $(readlink "/proc/$1/ns/net") != "$(readlink /proc/self/ns/net)" ]]; }

health_is() { [[ $(docker inspect --format '{{.State.Health.Status}}' "$1") == "$2" ]]; }

# A folder with the module, and programs as on a machine of those who read the pages: git
# knows the version, who types is root already, and Docker was started with daemon.json.
cp -a Dockerfile .dockerignore compose.yaml go.mod go.sum cmd configs dnsserver internal launcher tunnel tools examples "$work/module"
REAL_DOCKER=$(command -v docker)
export REAL_DOCKER WORK=$work
ln -s "$here/docker.sh" "$work/bin/docker"
# shellcheck disable=SC2016
printf '#!/bin/sh\n[ "$1" = describe ] && echo v9.9.9\n' >"$work/bin/git"
printf '#!/bin/sh\nexec "$@"\n' >"$work/bin/sudo"
printf '#!/bin/sh\n[ "$*" = "restart docker" ]\n' >"$work/bin/systemctl"
chmod +x "$work"/bin/*
go build -o "$work/bin/runargs" ./test/image/runargs
CGO_ENABLED=0 go build -o "$work/bin/panteras" ./cmd/panteras
{ printf '%s\n' --build-arg VERSION=v9.9.9 && build_options; } >"$work/build-options" # what comes later counts more
cat >"$work/run-options" <<-'END'
	--health-interval=1s
	--env=HOSTNAME=node-1
	--env=CONSUL_PARAMS=-hcl='performance{raft_multiplier=1}'
	--env=ZOOKEEPER_JAVA_OPTS=-Xmx64m -XX:TieredStopAtLevel=1
END
echo --restart=always >"$work/run-without" # nothing comes back after the test
if ! ((0x$(awk '$1 == "CapBnd:" { print $2 }' /proc/self/status) >> 24 & 1)); then
	say "nobody may raise limits on this machine (CAP_SYS_RESOURCE), so containers go without"
	printf '%s\n' --cap-add=SYS_RESOURCE --ulimit=nofile=65536 >>"$work/run-without"
fi

# shellcheck source=/dev/null
. "$here/typed.sh"
# shellcheck source=/dev/null
. "$here/checks.sh"
# shellcheck source=/dev/null
. "$here/cluster.sh"

# What is built has this machine's network, for packages and modules; nothing else runs there.
start_docker dockerd --bridge none --ip-forward=false
docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null # of a run that was killed
"$here/bases.sh" "$cache" "$work"
# Stages have names, so that they are kept.
for stage in consul consul-template panteras; do
	build "panteras-stage:$stage" "$work/module" --target "$stage"
done
build panteras:latest "$work/module"
check_packages
for app in simple smooth; do
	type_block "examples/$app-webapp/README.md" 1 "$work/module"
done
docker image prune --force >/dev/null
stop_docker

make_network
text_block docs/with-docker.md json 1 >"$work/daemon.json"
start_docker nsenter --net="/proc/$network/ns/net" -- dockerd --config-file "$work/daemon.json"
for check in network image plan up names users orphans containers health stop again gateway cluster added; do
	say "check: $check"
	"check_$check"
done
all_typed
stop_docker
say "check: trap"
check_trap
say "all is well"
