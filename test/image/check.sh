#!/usr/bin/env bash
# Builds the image and runs it, on a Docker of its own: a daemon whose socket, data,
# network and processes nobody else sees, and that is gone when this ends. No registry is
# needed; bases.sh makes the images to begin with.
#
#     check.sh        needs root; ends with 77 where something is missing
#
# Data and base images are kept below IMAGE_CACHE ($XDG_CACHE_HOME/panteras/image), so
# that the next time is quick; removing that folder only costs time.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

cache=${IMAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/panteras/image}
ip=10.9.0.1

say() { echo "==> $(date +%T) $*"; }
die() {
	echo "error: $*" >&2
	exit 1
}

# The first run of this script begins a second one that is process 1 of a namespace:
# when it ends, however it ends, everything that it started is killed.
if [[ ${1-} != inside ]]; then
	PATH="$PATH:/usr/sbin:/sbin"
	for program in dockerd docker debootstrap dig ip nsenter unshare go dpkg-deb; do
		command -v "$program" >/dev/null || { echo "skip: there is no $program here" && exit 77; }
	done
	[[ $EUID -eq 0 ]] || { echo "skip: Docker and namespaces need root" && exit 77; }
	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock --nonblock 9 || { say "waiting for another run to end" && flock 9; }
	work=$(mktemp -d /tmp/panteras-image.XXXXXX)
	trap 'rm -rf "$work"' EXIT
	status=0
	unshare --mount --propagation private --pid --mount-proc --fork --kill-child "$0" inside "$work" || status=$?
	# Cgroups outlive their processes.
	find /sys/fs/cgroup -depth -type d -path "*/$(basename "$work")*" -exec rmdir {} + 2>/dev/null || true
	exit "$status"
fi
work=$2
mkdir -p "$work/golang" "$work/host"
export DOCKER_HOST=unix://$work/docker.sock DOCKER_CONFIG=$work/config
export DOCKER_BUILDKIT=0 # Debian has no buildx

# start_docker [COMMAND…] starts dockerd by a command, and waits until it answers.
start_docker() {
	"$@" dockerd --host "$DOCKER_HOST" --data-root "$cache/docker" --exec-root "$work/exec" --pidfile "$work/docker.pid" \
		--bridge none --iptables=false --ip6tables=false --cgroup-parent "/$(basename "$work")" --exec-opt native.cgroupdriver=cgroupfs \
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

# build TAG DIR [OPTION…] builds the image, quietly unless it fails.
build() {
	local tag=$1 dir=$2 name value options=()
	shift 2
	for name in GOPROXY GOSUMDB; do
		value=$(go env "$name")
		options+=(--build-arg "$name=$value")
	done
	for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
		[[ -z ${!name-} ]] || options+=(--build-arg "$name")
	done
	say "docker build ${*} -t $tag"
	docker build --network host "${options[@]}" "$@" --tag "$tag" "$dir" >"$work/build.log" 2>&1 || {
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

# in_network COMMAND… runs a program of this machine in the network of the containers.
in_network() { nsenter --net="/proc/$dockerd/ns/net" -- "$@"; }

health_is() { [[ $(docker inspect --format '{{.State.Health.Status}}' "$1") == "$2" ]]; }

# shellcheck source=/dev/null
. "$here/checks.sh"

start_docker
docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null # of a run that was killed
"$here/bases.sh" "$cache" "$work"
# Stages have names, so that they are kept.
for stage in consul consul-template panteras; do
	build "panteras-stage:$stage" . --target "$stage" --build-arg VERSION=v9.9.9
done
build panteras:latest . --build-arg VERSION=v9.9.9
check_packages
docker image prune --force >/dev/null
stop_docker

# Containers find a host's network here that has nothing to do with this machine's.
# shellcheck disable=SC2016
start_docker unshare --net -- sh -c '
	ip link set lo up && ip link add net0 type veth peer name net1 && ip address add "$0/24" dev net0 &&
	ip link set net0 up && ip link set net1 up && exec "$@"' "$ip"
for check in image plan up names users orphans health stop again added; do
	say "check: $check"
	"check_$check"
done
stop_docker
say "all is well"
