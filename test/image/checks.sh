# What check.sh checks. Each function ends the script if something is not as it should
# be. Containers are called panteras, as compose.yaml says.
# shellcheck shell=bash disable=SC2154 # what check.sh has set

# config FORMAT prints something of the image's configuration.
config() { docker image inspect --format "{{json .Config.$1}}" panteras:latest; }

# check_network comes before anything else: a container that has the host's network has not
# this machine's.
check_network() {
	local theirs
	theirs=$(docker run --rm --network host debian:bookworm-slim readlink /proc/self/ns/net)
	[[ $theirs == "$(in_network readlink /proc/self/ns/net)" && $theirs != "$(readlink /proc/self/ns/net)" ]] ||
		die "a container with the host's network is in $theirs, want $(in_network readlink /proc/self/ns/net); this machine's is $(readlink /proc/self/ns/net)"
	: >"$work/apart"
}

check_image() {
	# All of it is there already: nothing has to be fetched.
	at=(in_network)
	type_block docs/image.md 1 "$work/module"
	[[ $(config Entrypoint)$(config Cmd) == '["panteras"]["up"]' ]] || die "the image starts $(config Entrypoint) $(config Cmd)"
	[[ $(config Healthcheck.Test) == '["CMD","panteras","status","--check"]' ]] || die "the health check is $(config Healthcheck)"
	[[ $(config StopSignal) == '"SIGTERM"' ]] || die "the signal to stop is $(config StopSignal)"
	[[ $(config Labels) == *'"org.opencontainers.image.version":"v9.9.9"'* ]] || die "the labels are $(config Labels)"
	[[ $(docker run --rm --network none panteras version) == "panteras v9.9.9 "* ]] || die "the program is of another version"
	local program output
	for program in panteras consul consul-template; do
		output=$(docker run --rm --network none --entrypoint ldd panteras "/usr/local/bin/$program" 2>&1) || true
		[[ $output == *"not a dynamic executable"* ]] || die "$program is not static: $output"
	done
	for program in haproxy keepalived java nft ip; do
		docker run --rm --network none --entrypoint sh panteras -c "command -v $program" >/dev/null || die "the image lacks $program"
	done
	output=$(docker run --rm --network none --entrypoint sh panteras -c 'command -v go gcc || ls -d /src /tmp/packages 2>/dev/null') || true
	[[ -z $output ]] || die "what only the build needs is in the image: $output"
}

check_plan() {
	local plan piece
	plan=$(docker run --rm --network none --env IP=10.9.0.7 --env CONSUL_DC=west --env MASTER=false --env CONSUL_HOSTS=10.9.0.1 panteras plan --json | tr -d " \n")
	for piece in '"CONSUL_DC":"west"' '"name":"zookeeper","run":false,"because":"MASTER=false(environment)"' \
		'"name":"consul","run":true,"because":"START_CONSUL=true(default)","user":"consul","argv":["consul","agent",'; do
		[[ $plan == *"$piece"* ]] || die "the plan lacks $piece: $plan"
	done
}

check_up() {
	type_block docs/image.md 3 "$work/module"
	type_block docs/image.md 4 "$work/module"
	eventually 240 "the container is healthy" health_is panteras healthy
	docker exec panteras panteras status --check || die "healthy, and the check fails"
	are_ready consul zookeeper consul-template haproxy dns
}

# are_ready fails unless daemons are.
are_ready() {
	local daemon state
	for daemon in "$@"; do
		state=$(docker exec panteras panteras status | awk -v name="$daemon" '$1 == name { print $2 }')
		[[ $state == ready ]] || die "$daemon is $state"
	done
}

# ask ARGUMENT… asks the DNS server in the container.
ask() { in_network dig +short +time=2 +tries=3 "$@"; }

registered() { [[ $(in_network curl --silent --max-time 5 "http://$ip:8500/v1/health/service/$1?passing") == *"\"Service\":\"$1\""* ]]; }

check_names() {
	local at answer
	for at in "@$ip" "@127.0.0.1"; do
		answer=$(ask "$at" consul.service.consul)
		[[ $answer == "$ip" ]] || die "$at: consul.service.consul is at '$answer', want $ip"
		answer=$(ask "$at" +tcp consul.service.consul SRV)
		[[ $answer == "1 1 8300 node-1.node."*.consul. ]] || die "$at: consul.service.consul SRV is '$answer'"
	done
	[[ $(in_network dig +time=2 "@$ip" nothing.service.consul) == *"status: NXDOMAIN"* ]] || die "a service that is none has an answer"
	for service in panteras-dns haproxy consul-ui; do
		eventually 60 "$service is registered" registered "$service"
	done
	[[ $(in_network curl --silent --request PUT --data kept "http://$ip:8500/v1/kv/image") == true ]] || die "Consul does not take a value"
}

# processes prints one line for each process in the container: uid, parent, state, command.
processes() {
	# shellcheck disable=SC2016
	docker exec panteras sh -c 'for p in /proc/[0-9]*; do
		[ "$p" = "/proc/$$" ] || printf "%s %s\n" "$(awk "/^State:/ { s = \$2 } /^PPid:/ { p = \$2 } /^Uid:/ { u = \$3 } END { print u, p, s }" "$p/status")" "$(tr "\0" " " <"$p/cmdline")"
	done 2>/dev/null'
}

check_users() {
	local all name uid
	[[ $(docker exec panteras cat /proc/1/comm) == panteras ]] || die "process 1 is $(docker exec panteras cat /proc/1/comm)"
	all=$(processes)
	while read -r uid name; do
		awk -v uid="$uid" -v name="$name" '$1 == uid && index($0, name) { found = 1 } END { exit !found }' <<<"$all" || die "no process of user $uid is $name: $all"
	done <<-END
		801 consul agent
		802 org.apache.zookeeper
		803 panteras dns
		806 haproxy
	END
	# The launcher starts what has other users; HAProxy's master binds port 80, and what
	# consul-template starts writes its files, has them checked and tells it.
	name=$(awk '$1 == 0 && $3 != "Z" { name = $4; sub(/.*\//, "", name); print name, $5 }' <<<"$all" |
		grep -vE '^(panteras up|panteras haproxy|haproxy -(W|sf|c)|consul-template |awk |tr |sh )' || true)
	[[ -z $name ]] || die "as root there runs more than need be: $name"
	[[ $(docker exec panteras sh -c 'grep -h CapEff $(grep -lx "Uid:.803.803.803.803" /proc/[0-9]*/status 2>/dev/null)' | sort -u) == *0000000000000400 ]] ||
		die "the DNS server may do more than bind a port: $(docker exec panteras sh -c 'grep -h Cap /proc/[0-9]*/status' | sort -u)"
	[[ $(stat -c %u "$work/host/var/lib/panteras/consul") == 801 ]] || die "Consul's data belong to $(stat -c %U "$work/host/var/lib/panteras/consul")"
}

none_left() { ! processes | grep -E '^[0-9]+ [0-9]+ Z|sleep 3' >/dev/null; }

# What loses its parent in the container is process 1's to reap.
check_orphans() {
	docker exec panteras sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 3 & done'
	[[ $(processes | awk '$2 == 1 && index($0, "sleep 3")' | wc -l) == 10 ]] || die "orphans are not process 1's: $(processes)"
	eventually 30 "no zombie is left" none_left
}

# told_ill: starting is not enough, which every container does.
told_ill() {
	health_is ill unhealthy && docker inspect --format '{{json .State.Health.Log}}' ill | grep -qE 'not ready: consul \((backoff|failed)\)'
}

check_health() {
	docker run --detach --name ill --network none --health-interval 1s --health-retries 1 --health-start-period 1s \
		--env "IP=$ip" --env 'CONSUL_APP_PARAMS=agent -no-such-option' panteras >/dev/null
	eventually 60 "a container whose Consul cannot start is unhealthy and says why" told_ill
	docker rm --force ill >/dev/null
	health_is panteras healthy || die "the other one is not healthy any more"
}

check_stop() {
	local began=$SECONDS took
	docker stop panteras >/dev/null
	took=$((SECONDS - began))
	[[ $(docker inspect --format '{{.State.ExitCode}} {{.State.OOMKilled}}' panteras) == "0 false" ]] ||
		{ docker logs --tail 30 panteras >&2 && die "stopped with exit code $(docker inspect --format '{{.State.ExitCode}}' panteras) after $took s"; }
	say "stopped within $took s"
}

# What the container keeps is on the host.
check_again() {
	docker start panteras >/dev/null
	eventually 240 "the container is healthy again" health_is panteras healthy
	[[ $(in_network curl --silent "http://$ip:8500/v1/kv/image?raw") == kept ]] || die "Consul has lost its data"
	docker stop panteras >/dev/null
	docker rm panteras >/dev/null
}

# check_packages builds the image with programs of the operator's own: in a Debian package,
# and in an archive. They are stand-ins, because nobody offers the real ones.
check_packages() {
	local module=$work/added name
	cp -a "$work/module" "$module"
	mkdir -p "$work/deb/DEBIAN" "$work/deb/usr/bin" "$work/archive/usr/local/bin"
	CGO_ENABLED=0 go build -trimpath -o "$work/standin" ./test/standin
	for name in deb/usr/bin/mesos-master deb/usr/bin/mesos-agent archive/usr/local/bin/marathon; do
		cp "$work/standin" "$work/$name"
		cp "launcher/testdata/flags/$(basename "$name").txt" "$work/$name.flags"
	done
	printf '%s\n' 'Package: mesos' 'Version: 1.11.0' 'Architecture: amd64' 'Maintainer: nobody <nobody@example.com>' 'Depends: libc6' 'Description: a stand-in' >"$work/deb/DEBIAN/control"
	# The same bytes each time, so that layers of last time fit.
	SOURCE_DATE_EPOCH=0 dpkg-deb -Zgzip -z1 --build "$work/deb" "$module/mesos_1.11.0_amd64.deb" >/dev/null
	tar --create --gzip --sort=name --mtime=@0 --directory "$work/archive" --file "$module/marathon.tar.gz" usr
	docker tag panteras panteras:plain
	type_block docs/image.md 2 "$module"
	docker tag panteras panteras:added
	if (build panteras:none "$module" --build-arg PROGRAMS=chronos) >"$work/output" 2>&1; then
		die "the image is built although it lacks what PROGRAMS names"
	fi
	grep -q 'PROGRAMS asks for chronos' "$work/output" || die "the build fails without saying why: $(<"$work/output")"
	docker tag panteras:plain panteras
}

mesos_ready() { docker exec added panteras status 2>/dev/null | awk '$1 == "mesos-master" && $2 == "ready" { found = 1 } END { exit !found }'; }

check_added() {
	docker run --detach --name added --network host --env "IP=$ip" --env START_CHRONOS=false --env SLAVE=false \
		--env 'ZOOKEEPER_JAVA_OPTS=-Xmx64m -XX:TieredStopAtLevel=1' panteras:added >/dev/null
	eventually 120 "the Mesos master that was added is ready" mesos_ready
	docker rm --force added >/dev/null
}

# check_containers asks from other containers, as pages say.
check_containers() {
	[[ -z $(in_network curl --silent --request PUT --data '{"Name": "python", "Address": "10.7.0.2", "Port": 80}' "http://$ip:8500/v1/agent/service/register") ]] ||
		die "Consul does not take a service"
	docker tag simple-webapp registry.example.com/my_service
	type_block docs/with-docker.md 1 "$work/module"
	type_block docs/with-docker.md 2 "$work/module"
	docker ps --quiet --filter ancestor=registry.example.com/my_service | xargs docker rm --force >/dev/null
}

# check_gateway runs what `panteras export compose` writes for a gateway that holds a
# floating address, and comes in through the tunnel.
check_gateway() {
	local folder=$work/gateway client file=laptop.conf
	mkdir -p "$folder/restricted"
	printf '%s\n' CONSUL_DC=west DNS_MODE=lb KEEPALIVED_VIP=10.7.0.100 TUNNEL_ENDPOINT=10.7.0.100 START_{MESOS_MASTER,MARATHON,CHRONOS,MESOS_SLAVE,REGISTRATOR,ZOOKEEPER}=false >"$folder/restricted/host"
	type_block docs/export.md 1 "$folder"
	eventually 240 "the gateway is healthy" health_is panteras healthy
	are_ready consul haproxy keepalived dns tunnel
	# shellcheck disable=SC2016
	[[ $(docker exec panteras sh -c 'for p in /proc/[0-9]*; do tr "\0" " " <"$p/cmdline" | grep -q "^[^ ]*panteras gateway" && grep CapEff "$p/status"; done' 2>/dev/null) == *0000000000001400 ]] ||
		die "the gateway may do more than change the network and bind a port: $(processes)"
	eventually 60 "the host has the floating address" has_vip
	# A laptop at the other end of the wire, with an /etc and a /run of its own.
	# shellcheck disable=SC2016
	unshare --net --mount -- sh -c 'mount -t tmpfs tmpfs /run && exec sleep 600' &
	client=$!
	eventually 10 "the laptop has a network" is_apart "$client"
	in_network ip link set net1 netns "$client"
	docker exec panteras panteras peer add laptop --os mobile --output "/run/panteras/$file" >/dev/null 2>&1
	(umask 077 && docker exec panteras cat "/run/panteras/$file" >"$work/$file")
	on_laptop ip link set lo up
	on_laptop ip address add 10.7.0.2/24 dev net1
	on_laptop ip link set net1 up
	on_laptop "$PWD/bin/wireguard-go" laptop
	on_laptop bash -c "wg setconf laptop <(wg-quick strip '$work/$file')"
	on_laptop ip address add "$(sed -n 's/^Address *= *\([0-9.]*\).*/\1/p' "$work/$file")/16" dev laptop
	on_laptop ip link set laptop up
	eventually 60 "names through the tunnel" through_tunnel
	kill "$client"
	docker stop panteras >/dev/null
	docker rm panteras >/dev/null
}

has_vip() { [[ $(in_network ip -o address show dev net0) == *" 10.7.0.100/"* ]]; }
on_laptop() { nsenter --net="/proc/$client/ns/net" --mount="/proc/$client/ns/mnt" -- "$@"; }
through_tunnel() { [[ $(on_laptop dig +short +time=2 +tries=1 @10.99.0.1 consul.service.consul) == "$ip" ]]; }

# check_trap looks at the servers that containers get, for each resolv.conf of a host in the
# table of docs/with-docker.md: a Docker that was told no servers asks what the host's file
# says. It has an /etc and a /run of its own, which end with this script.
check_trap() {
	cp -a /etc "$work/etc"
	rm -f "$work/etc/resolv.conf"
	mount --bind "$work/etc" /etc
	mount -t tmpfs tmpfs /run
	mkdir -p /run/systemd/resolve
	echo "nameserver 10.7.0.3" >/run/systemd/resolve/resolv.conf
	echo '{}' >"$work/daemon.json"
	local rows
	rows=$(grep -c '^| `nameserver ' docs/with-docker.md)
	[[ $rows == 3 ]] || die "docs/with-docker.md has $rows rows of resolv.conf, want the 3 that are looked at"
	start_docker nsenter --net="/proc/$network/ns/net" -- dockerd --config-file "$work/daemon.json"
	gets 10.7.0.1 "10.7.0.1" "10.7.0.1"
	gets 127.0.0.1 "8.8.8.8 8.8.4.4" "127.0.0.1"
	stop_docker
	# Docker looks once where systemd-resolved's servers are.
	echo "nameserver 127.0.0.53" >/etc/resolv.conf
	start_docker nsenter --net="/proc/$network/ns/net" -- dockerd --config-file "$work/daemon.json"
	gets 127.0.0.53 "10.7.0.3" "127.0.0.53"
	stop_docker
}

# gets SERVER BRIDGE HOST fails unless containers of the default bridge and of the host's
# network have those servers where the host's resolv.conf has that.
gets() {
	local found
	grep -qF "| \`nameserver $1\`" docs/with-docker.md || die "docs/with-docker.md has no row for $1"
	echo "nameserver $1" >/etc/resolv.conf
	found="$(servers_of bridge), $(servers_of host)"
	[[ $found == "$2, $3" ]] || die "with nameserver $1 on the host, containers of the bridge and of the host's network ask $found, want $2, $3"
}

servers_of() { docker run --rm --network "$1" debian:bookworm-slim sed -n 's/^nameserver //p' /etc/resolv.conf | xargs; }
