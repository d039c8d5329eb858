#!/usr/bin/env bash
# `up.sh up` runs `panteras up` on this host in the background, with what
# `make tools` builds, and registers a sample service to try things out; `up.sh down`
# stops it. Settings come from the environment and from restricted/, as panteras
# itself reads them. Root's run lies where it does on any host; that of others, and
# what this script writes, in var/up.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Debian keeps some programs where only root looks.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

readonly dir=$PWD/var/up
readonly log=$dir/panteras.log
readonly patience=120 # seconds, on a slow machine

if [[ $EUID -ne 0 ]]; then
	export RUN_DIR="${RUN_DIR:-$dir/run}" STATE_DIR="${STATE_DIR:-$dir/state}" LOG_DIR="${LOG_DIR:-$dir/log}"
fi

say() { printf '==> %s\n' "$*"; }
die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# pid prints the process id of our run, if there is one. A pid file may be older than
# a reboot, so the process must run a program from bin/.
pid() {
	local id exe
	[[ -r $dir/panteras.pid ]] || return 1
	id=$(<"$dir/panteras.pid")
	exe=$(readlink "/proc/$id/exe" 2>/dev/null) || return 1
	[[ ${exe% (deleted)} == "$PWD/bin/panteras" ]] || return 1 # deleted: built anew since
	echo "$id"
}

# setting NAME prints the value that panteras would use, empty if it has none.
setting() {
	local value
	value=$(bin/panteras settings | awk -v name="$1" '$1 == name { print $2 }')
	[[ $value == - ]] || echo "$value"
}

# state NAME prints what has become of a daemon; nothing while the launcher does not
# answer, which is no reason to end.
state() { bin/panteras status 2>/dev/null | awk -v name="$1" '$1 == name { print $2 }' || true; }

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

# await NAME waits until a daemon is ready, as long as panteras runs.
await() {
	local i now
	[[ $(state "$1") != disabled ]] || return 0
	printf '==> waiting for %s ' "$1"
	for ((i = 0; i < patience * 2; i++)); do
		now=$(state "$1")
		case $now in
		ready)
			echo " ready"
			return
			;;
		'')
			pid >/dev/null || break
			;;
		esac
		((i % 4)) || printf .
		sleep 0.5
	done
	echo
	give_up "$1 does not get ready"
}

# give_up tells why, shows what there is to see, and ends.
give_up() {
	echo "error: $1" >&2
	bin/panteras status >&2 || true
	echo "the end of $log:" >&2
	tail -n 20 "$log" | sed 's/^/    /' >&2
	exit 1
}

# undo stops what was started, if the script ends before everything runs: half a host
# is none.
undo() { stop >&2; }

# where_to_listen settles the port of the DNS server, and the address at which to ask.
where_to_listen() {
	local listen
	port=$(setting DNS_PORT)
	if [[ $port == 53 ]] && ! may_bind_53; then
		say "no right to bind port 53 (that needs root, or CAP_NET_BIND_SERVICE): taking 5353"
		port=5353
	fi
	export DNS_PORT=$port
	asked=${DNS_LISTEN:+ --dns-listen=$DNS_LISTEN} # which sudo would forget
	listen=$(setting DNS_LISTEN) # 0.0.0.0:53, or 192.0.2.1:53,[::1]:53
	listen=${listen%%,*}
	port=${listen##*:}
	server=${listen%:*}
	server=${server#[}
	server=${server%]}
	case $server in
	0.0.0.0 | ::) server=127.0.0.1 ;;
	esac
}

# register writes four instances of a service called python into Consul.
register() {
	local n output
	for n in 1 2 3 4; do
		printf 'services { name = "python" id = "python-%d" address = "127.0.0.1" port = %d tags = ["sample"] }\n' "$n" "$((31000 + n))"
	done >"$dir/services.hcl"
	output=$(CONSUL_HTTP_ADDR=$(setting CONSUL_HTTP_ADDR) bin/consul services register "$dir/services.hcl" 2>&1) ||
		give_up "cannot register the sample service: $output"
	say "registered the service python, 4 instances at 127.0.0.1:31001-31004"
}

tell() {
	local at="dig @$server -p $port" sudo=
	[[ $EUID -eq 0 ]] || sudo='sudo '
	cat <<-END

		It runs. Try:
		    bin/panteras status
		    $at python.service.$domain
		    $at python.service.$domain SRV
		    $at python.service.$domain SRV +tcp
		    $at www.debian.org
	END
	[[ -z $add ]] || echo "    $at python.$add"
	echo
	if [[ $port == 53 ]]; then
		cat <<-END
			To use it for every name on this host, and to undo that before make down:
			    ${sudo}bin/panteras resolvconf install${asked-}
			    ${sudo}bin/panteras resolvconf restore
		END
	else
		cat <<-END
			/etc/resolv.conf knows port 53 only. To use panteras from there, let it bind that port:
			    sudo sysctl net.ipv4.ip_unprivileged_port_start=53, then make down && make up
		END
	fi
	cat <<-END

		Add a service:  bin/consul services register -name=web -port=8080
		What is wrong:  bin/panteras doctor
		Logs:           bin/panteras logs -f consul, and $log
		Stop:           make down
	END
	[[ $EUID -eq 0 ]] || printf '\nFor bin/panteras status and its like, in this shell:  export RUN_DIR=%q\n' "$RUN_DIR"
}

up() {
	mkdir -p "$dir"
	if pid >/dev/null; then
		# What it was started with, not what the environment says now.
		# shellcheck source=/dev/null
		. "$dir/state.sh"
		say "already running (pid $(pid)); make down stops it"
		tell
		return
	fi
	${MAKE:-make} --no-print-directory bin/consul bin/consul-template build 9>&-
	bin/panteras settings >/dev/null || die "settings are wrong, see above"
	domain=$(setting CONSUL_DOMAIN)
	add=$(setting HAPROXY_ADD_DOMAIN)
	add=${add#.}
	where_to_listen
	printf 'domain=%q add=%q port=%q server=%q asked=%q RUN_DIR=%q\nexport RUN_DIR\n' "$domain" "$add" "$port" "$server" "$asked" "$(setting RUN_DIR)" >"$dir/state.sh"
	say "starting panteras up"
	trap undo EXIT
	# It outlives make and the terminal, and does not inherit the lock.
	setsid bin/panteras up </dev/null >"$log" 2>&1 9>&- &
	echo "$!" >"$dir/panteras.pid"
	until pid >/dev/null; do # it is still a shell for a moment
		kill -0 "$!" 2>/dev/null || give_up "panteras up has ended"
		sleep 0.05
	done
	await dns
	await consul
	[[ $(state consul) != ready ]] || register
	trap - EXIT
	bin/panteras status
	tell
}

# stop ends our run and waits until it is gone: it ends itself in order.
stop() {
	local id
	if id=$(pid); then
		kill "$id"
		while pid >/dev/null; do sleep 0.1; done
		say "panteras and its daemons stopped"
	fi
	rm -f "$dir/panteras.pid"
}

down() {
	local ran
	ran=$(pid) || say "nothing runs"
	stop
	if [[ -n $ran ]] && grep -qs 'panteras resolvconf install' /etc/resolv.conf /etc/systemd/resolved.conf.d/panteras-dns.conf; then
		say "this host still asks the DNS server that ran here; to ask whom it asked before: sudo bin/panteras resolvconf restore"
	fi
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
