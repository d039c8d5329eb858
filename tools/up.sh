#!/usr/bin/env bash
# `up.sh up` starts a real Consul and `panteras dns` on this host, with a sample
# service, to try things out; `up.sh down` stops them. Settings come from the
# environment and from restricted/, as panteras itself reads them. Everything
# that is written goes to var/up.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Debian keeps some programs where only root looks.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

readonly dir=var/up
readonly consul_http=8500 consul_dns=8600
readonly consul_ports=("$consul_http" "$consul_dns" 8300 8301)

# The names of the programs that were started by this run, newest first.
started=()

say() { printf '==> %s\n' "$*"; }
die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# pid NAME prints the process id of a program of ours, if it runs. A pid file may
# be older than a reboot, so the process must run the very binary.
pid() {
	local id exe
	[[ -r $dir/$1.pid ]] || return 1
	id=$(<"$dir/$1.pid")
	exe=$(readlink "/proc/$id/exe" 2>/dev/null) || return 1
	[[ ${exe% (deleted)} == "$PWD/bin/$1" ]] || return 1 # deleted: built anew since
	echo "$id"
}

# start NAME ARG... runs bin/NAME in the background. It outlives make and the
# terminal, and does not inherit the lock.
start() {
	local name=$1
	shift
	setsid "bin/$name" "$@" </dev/null >"$dir/$name.log" 2>&1 9>&- &
	echo "$!" >"$dir/$name.pid"
	started=("$name" ${started[@]+"${started[@]}"})
	# It is still a shell for a moment, which pid does not take for the program.
	until pid "$name" >/dev/null || ! kill -0 "$!" 2>/dev/null; do sleep 0.05; done
}

# stop NAME ends a program of ours and waits until it is gone.
stop() {
	local id
	if id=$(pid "$1"); then
		kill "$id"
		for ((i = 0; i < 100; i++)); do
			pid "$1" >/dev/null || break
			sleep 0.1
		done
		if pid "$1" >/dev/null; then
			echo "$1 (pid $id) did not end within 10 s; killing it"
			kill -KILL "$id"
			while pid "$1" >/dev/null; do sleep 0.1; done
		fi
		say "$1 stopped"
	fi
	rm -f "$dir/$1.pid"
}

# await NAME SECONDS WHAT COMMAND... waits until the command succeeds, and fails if
# the program ends or the time is over.
await() {
	local name=$1 seconds=$2 what=$3
	shift 3
	printf '==> waiting for %s ' "$what"
	for ((i = 0; i < seconds * 5; i++)); do
		if ! pid "$name" >/dev/null; then
			echo
			failed="$name ended"
			return 1
		fi
		if "$@"; then
			echo " done"
			return
		fi
		((i % 5)) || printf .
		sleep 0.2
	done
	echo
	failed="waited $seconds s in vain for $what"
	return 1
}

# give_up tells why, shows the end of the log, and ends.
give_up() {
	local name=$1
	echo "error: ${failed:-$name failed}; the end of $dir/$name.log:" >&2
	tail -n 20 "$dir/$name.log" | sed 's/^/    /' >&2
	exit 1
}

# undo stops what was started, if the script ends before everything runs: half a
# lab is none.
undo() {
	local name
	for name in ${started[@]+"${started[@]}"}; do stop "$name" >&2; done
}

# holder PROTOCOL PORT prints who listens on a port, if anybody does.
holder() {
	local line
	line=$(ss --no-header --listening --numeric --processes "--$1" "sport = :$2" | head -n 1)
	[[ -n $line ]] || return 1
	if [[ $line =~ users:\(\(\"([^\"]+)\",pid=([0-9]+) ]]; then
		echo "${BASH_REMATCH[1]}, pid ${BASH_REMATCH[2]}"
	else
		echo "a process of another user"
	fi
}

# leader asks Consul whether it leads. Not every host has curl.
leader() {
	local answer
	answer=$(
		exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$consul_http" || exit 1
		printf 'GET /v1/status/leader HTTP/1.0\r\n\r\n' >&3
		cat <&3
	) || return 1
	[[ $answer =~ \"[0-9.]+:8300\" ]]
}

# setting NAME prints the value that panteras would use, empty if it has none.
setting() {
	local value
	value=$(bin/panteras settings | awk -v name="$1" '$1 == name { print $2 }')
	[[ $value == - ]] || echo "$value"
}

# may_bind_53 says whether port 53 can be bound with the rights we have: root's
# own, capabilities that panteras would inherit or has on its file, or none needed.
may_bind_53() {
	local set=CapAmb caps
	[[ $EUID -ne 0 ]] || set=CapEff
	caps=$(awk -v set="$set:" '$1 == set { print $2 }' /proc/self/status)
	((0x$caps >> 10 & 1)) && return
	(($(</proc/sys/net/ipv4/ip_unprivileged_port_start) <= 53)) && return
	command -v getcap >/dev/null && [[ $(getcap bin/panteras) == *cap_net_bind_service* ]]
}

# answering asks panteras for the sample service, or just connects if there is no dig.
answering() {
	if command -v dig >/dev/null; then
		dig -r "@$server" -p "$port" +short +time=1 +tries=1 "python.service.$domain" A | grep -qx '127\.0\.0\.1'
	else
		(exec 2>/dev/null 3<>"/dev/tcp/$server/$port")
	fi
}

start_consul() {
	local port protocol who
	for port in "${consul_ports[@]}"; do
		for protocol in tcp udp; do
			if who=$(holder "$protocol" "$port"); then
				die "Consul needs port $port, and it is taken ($protocol, by $who); stop that first"
			fi
		done
	done
	say "starting Consul (API 127.0.0.1:$consul_http, DNS 127.0.0.1:$consul_dns, domain $domain)"
	start consul agent -server -bootstrap-expect=1 -node=panteras-up -ui=false \
		-bind=127.0.0.1 -client=127.0.0.1 -domain="$domain" -data-dir="$dir/consul" \
		-http-port="$consul_http" -dns-port="$consul_dns" -serf-wan-port=-1 -grpc-port=-1 -grpc-tls-port=-1 \
		-disable-host-node-id -log-level=info -hcl='performance { raft_multiplier = 1 }' -hcl='disable_update_check = true' -hcl='leave_on_terminate = false'
	await consul 60 "Consul to lead" leader || give_up consul
}

# register writes four instances of a service called python into Consul.
register() {
	local n
	for n in 1 2 3 4; do
		printf 'services { name = "python" id = "python-%d" address = "127.0.0.1" port = %d tags = ["sample"] }\n' "$n" "$((31000 + n))"
	done >"$dir/services.hcl"
	env -u CONSUL_HTTP_TOKEN CONSUL_HTTP_ADDR="127.0.0.1:$consul_http" bin/consul services register "$dir/services.hcl" \
		>"$dir/register.log" 2>&1 || {
		failed="cannot register the sample service: $(tail -n 1 "$dir/register.log")"
		give_up consul
	}
	say "registered the service python, 4 instances at 127.0.0.1:31001-31004"
}

start_panteras() {
	say "starting panteras dns (port $port)"
	start panteras dns --consul-dns "127.0.0.1:$consul_dns" --dns-port "$port"
	await panteras 15 "panteras to answer" answering || give_up panteras
}

# where_to_listen settles the port, and the address at which to ask.
where_to_listen() {
	local listen
	port=$(setting DNS_PORT)
	if [[ $port == 53 ]] && ! may_bind_53; then
		say "no right to bind port 53 (that needs root, or CAP_NET_BIND_SERVICE): taking 5353"
		port=5353
	fi
	listen=$(DNS_PORT=$port setting DNS_LISTEN) # 0.0.0.0:53, or 192.0.2.1:53,[::1]:53
	listen=${listen%%,*}
	port=${listen##*:}
	server=${listen%:*}
	server=${server#[}
	server=${server%]}
	case $server in
	0.0.0.0 | ::) server=127.0.0.1 ;;
	esac
}

tell() {
	local at="dig @$server -p $port"
	cat <<-END

		It runs. Try:
		    $at python.service.$domain
		    $at python.service.$domain SRV
		    $at python.service.$domain SRV +tcp
		    $at www.debian.org
	END
	[[ -z $add ]] || echo "    $at python.$add"
	echo
	if [[ $port == 53 ]]; then
		cat <<-END
			To use it for every name on this host (the copy is where panteras finds the recursors then):
			    cp /etc/resolv.conf /etc/resolv.conf.orig; rm -f /etc/resolv.conf; echo nameserver $server > /etc/resolv.conf
		END
	else
		cat <<-END
			/etc/resolv.conf knows port 53 only. To use panteras from there, let it bind that port:
			    sudo sysctl net.ipv4.ip_unprivileged_port_start=53, then make down && make up
		END
	fi
	cat <<-END

		Add a service:  bin/consul services register -name=web -port=8080
		Logs:           $dir/panteras.log  $dir/consul.log
		Stop:           make down
	END
}

up() {
	if pid consul >/dev/null && pid panteras >/dev/null; then
		# What it was started with, not what the environment says now.
		# shellcheck source=/dev/null
		. "$dir/state"
		say "already running (consul pid $(pid consul), panteras pid $(pid panteras)); make down stops it"
		tell
		return
	fi
	stop panteras # what is left of a run that was broken off
	stop consul

	${MAKE:-make} --no-print-directory tools build 9>&-
	mkdir -p "$dir"
	export CONSUL_HTTP_ADDR="${CONSUL_HTTP_ADDR:-127.0.0.1:$consul_http}" CONSUL_DNS="127.0.0.1:$consul_dns"
	bin/panteras settings >/dev/null || die "settings are wrong, see above"
	domain=$(setting CONSUL_DOMAIN)
	add=$(setting HAPROXY_ADD_DOMAIN)
	add=${add#.}
	where_to_listen
	printf 'domain=%q add=%q port=%q server=%q\n' "$domain" "$add" "$port" "$server" >"$dir/state"
	trap undo EXIT
	start_consul
	register
	start_panteras
	trap - EXIT
	tell
}

down() {
	if ! pid panteras >/dev/null && ! pid consul >/dev/null; then
		say "nothing runs"
	fi
	stop panteras
	stop consul
}

# One at a time: a second run waits for the first. The lock is on this script, so
# that `down` does not have to make a folder.
exec 9<"tools/up.sh"
flock 9
case "${1-}" in
up) up ;;
down) down ;;
*) die "usage: tools/up.sh up|down" ;;
esac
