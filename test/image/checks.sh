# What check.sh checks. Each function ends the script if something is not as it should
# be. The container of compose.yaml is called host.
# shellcheck shell=bash disable=SC2154 # what check.sh has set

# config FORMAT prints something of the image's configuration.
config() { docker image inspect --format "{{json .Config.$1}}" panteras:latest; }

check_image() {
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
	local settings=$work/host/srv/panteras/restricted arguments
	go run ./test/image/runargs -root "$work/host" compose.yaml >"$work/arguments"
	sed -i '/^--restart=/d' "$work/arguments" # nothing comes back after the test
	if ! ((0x$(awk '$1 == "CapBnd:" { print $2 }' /proc/self/status) >> 24 & 1)); then
		say "nobody may raise limits on this machine (CAP_SYS_RESOURCE), so the container goes without"
		sed -i '/^--cap-add=SYS_RESOURCE$/d; /^--ulimit=/d' "$work/arguments"
	fi
	mapfile -t arguments <"$work/arguments"
	cat >"$settings/host" <<-'END'
		HOSTNAME=node-1
		CONSUL_PARAMS="-hcl='performance{raft_multiplier=1}'"
		ZOOKEEPER_JAVA_OPTS="-Xmx64m -XX:TieredStopAtLevel=1"
	END
	docker run --detach --name host --health-interval 1s --env "IP=$ip" "${arguments[@]}" >/dev/null
	eventually 240 "the container is healthy" health_is host healthy
	docker exec host panteras status --check || die "healthy, and the check fails"
	local daemon state
	for daemon in consul zookeeper consul-template haproxy dns; do
		state=$(docker exec host panteras status | awk -v name="$daemon" '$1 == name { print $2 }')
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
	docker exec host sh -c 'for p in /proc/[0-9]*; do
		[ "$p" = "/proc/$$" ] || printf "%s %s\n" "$(awk "/^State:/ { s = \$2 } /^PPid:/ { p = \$2 } /^Uid:/ { u = \$3 } END { print u, p, s }" "$p/status")" "$(tr "\0" " " <"$p/cmdline")"
	done 2>/dev/null'
}

check_users() {
	local all name uid
	[[ $(docker exec host cat /proc/1/comm) == panteras ]] || die "process 1 is $(docker exec host cat /proc/1/comm)"
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
	[[ $(docker exec host sh -c 'grep -h CapEff $(grep -lx "Uid:.803.803.803.803" /proc/[0-9]*/status 2>/dev/null)' | sort -u) == *0000000000000400 ]] ||
		die "the DNS server may do more than bind a port: $(docker exec host sh -c 'grep -h Cap /proc/[0-9]*/status' | sort -u)"
	[[ $(stat -c %u "$work/host/var/lib/panteras/consul") == 801 ]] || die "Consul's data belong to $(stat -c %U "$work/host/var/lib/panteras/consul")"
}

none_left() { ! processes | grep -E '^[0-9]+ [0-9]+ Z|sleep 3' >/dev/null; }

# What loses its parent in the container is process 1's to reap.
check_orphans() {
	docker exec host sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 3 & done'
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
	health_is host healthy || die "the other one is not healthy any more"
}

check_stop() {
	local began=$SECONDS took
	docker stop host >/dev/null
	took=$((SECONDS - began))
	[[ $(docker inspect --format '{{.State.ExitCode}} {{.State.OOMKilled}}' host) == "0 false" ]] ||
		{ docker logs --tail 30 host >&2 && die "stopped with exit code $(docker inspect --format '{{.State.ExitCode}}' host) after $took s"; }
	say "stopped within $took s"
}

# What the container keeps is on the host.
check_again() {
	docker start host >/dev/null
	eventually 240 "the container is healthy again" health_is host healthy
	[[ $(in_network curl --silent "http://$ip:8500/v1/kv/image?raw") == kept ]] || die "Consul has lost its data"
	docker stop host >/dev/null
	docker rm host >/dev/null
}

# check_packages builds the image with programs of the operator's own: one in a Debian
# package, one in an archive. They are stand-ins, because nobody offers the real ones.
check_packages() {
	local context=$work/context
	mkdir -p "$context/packages" "$work/deb/DEBIAN" "$work/deb/usr/bin" "$work/archive/usr/local/bin"
	cp -a Dockerfile .dockerignore go.mod go.sum cmd configs dnsserver internal launcher tunnel tools "$context"
	CGO_ENABLED=0 go build -trimpath -o "$work/deb/usr/bin/mesos-master" ./test/standin
	cp launcher/testdata/flags/mesos-master.txt "$work/deb/usr/bin/mesos-master.flags"
	printf '%s\n' 'Package: mesos' 'Version: 1' 'Architecture: all' 'Maintainer: nobody <nobody@example.com>' 'Depends: libc6' 'Description: a stand-in' >"$work/deb/DEBIAN/control"
	# The same bytes each time, so that layers of last time fit.
	SOURCE_DATE_EPOCH=0 dpkg-deb --build "$work/deb" "$context/packages/mesos.deb" >/dev/null
	cp "$work/deb/usr/bin/mesos-master" "$work/archive/usr/local/bin/registrator"
	tar --create --sort=name --mtime=@0 --directory "$work/archive" --file "$context/packages/registrator.tar" usr
	build panteras:added "$context" --build-arg VERSION=v9.9.9 --build-arg PROGRAMS="mesos-master registrator"
	if (build panteras:none "$context" --build-arg VERSION=v9.9.9 --build-arg PROGRAMS=marathon) >"$work/output" 2>&1; then
		die "the image is built although it lacks what PROGRAMS names"
	fi
	grep -q 'PROGRAMS asks for marathon' "$work/output" || die "the build fails without saying why: $(<"$work/output")"
}

mesos_ready() { docker exec added panteras status 2>/dev/null | awk '$1 == "mesos-master" && $2 == "ready" { found = 1 } END { exit !found }'; }

check_added() {
	docker run --detach --name added --network host --env "IP=$ip" --env START_MARATHON=false --env START_CHRONOS=false --env SLAVE=false \
		--env 'ZOOKEEPER_JAVA_OPTS=-Xmx64m -XX:TieredStopAtLevel=1' panteras:added >/dev/null
	eventually 120 "the Mesos master that was added is ready" mesos_ready
	docker rm --force added >/dev/null
}
