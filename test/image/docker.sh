#!/usr/bin/env bash
# Stands for `docker` where commands of pages are typed: it builds as this machine has to,
# and does what `docker compose` would, of which Debian has no current version. All else
# is the real one's.
#
# Environment: REAL_DOCKER; WORK, the folder of this run, with build-options, one a line,
# run-options likewise, and host/, which stands for / of the host. NODE is one of several
# hosts: its network is that of the container net-NODE, and its / is host-NODE.
set -euo pipefail

mapfile -t build_options <"$WORK/build-options"
mapfile -t run_options <"$WORK/run-options"

name=panteras network=host
[[ -z ${NODE-} ]] || name=panteras-$NODE network=container:net-$NODE

# compose up -d [--build] [SERVICE] | exec SERVICE COMMAND…
compose() {
	local build=false service='' arguments
	case $1 in
	up)
		shift
		for word in "$@"; do
			case $word in
			-d) ;;
			--build) build=true ;;
			*) service=$word ;;
			esac
		done
		if $build; then
			mapfile -t arguments < <("$WORK/bin/runargs" -build ${service:+-service "$service"} compose.yaml)
			"$0" build "${arguments[@]}"
		fi
		"$REAL_DOCKER" rm --force "$name" >/dev/null 2>&1 || true # Compose replaces it
		mapfile -t arguments < <("$WORK/bin/runargs" -root "$WORK/host${NODE:+-$NODE}" ${service:+-service "$service"} compose.yaml | grep -vxFf "$WORK/run-without" |
			sed -e "s/^--name=panteras$/--name=$name/; s/^--network=host$/--network=$network/")
		"$REAL_DOCKER" run --detach "${run_options[@]}" "${arguments[@]}"
		;;
	exec)
		"$REAL_DOCKER" exec "$name" "${@:3}" # of the only service's container
		;;
	*)
		echo "docker.sh: compose $1 is not known here" >&2
		exit 2
		;;
	esac
}

# Before it is known that a container cannot get into this machine's network, none starts.
if [[ $1 != build && ! -e $WORK/apart ]]; then
	echo "docker.sh: docker $1 is refused while the host's network is this machine's" >&2
	exit 1
fi
case $1 in
build) exec "$REAL_DOCKER" build --network host "${build_options[@]}" "${@:2}" ;;
compose) compose "${@:2}" ;;
*) exec "$REAL_DOCKER" "$@" ;;
esac
