# The five hosts of examples/compose, each with a network and a folder of its own.
# shellcheck shell=bash disable=SC2154 # what check.sh has set

check_cluster() {
	local host lost
	docker tag panteras registry.example.com/panteras
	in_network ip link add lan type bridge
	in_network ip link set lan up
	for host in "${hosts[@]}"; do
		start_host "$host"
	done
	for host in "${hosts[@]}"; do
		eventually 240 "$host is healthy" health_is "panteras-$host" healthy
	done
	NODE=master-1 type_block examples/compose/README.md 2 "$work/master-1"
	eventually 60 "Consul's members are the five hosts" all_are_members
	eventually 60 "a slave finds the masters" finds_masters
	eventually 60 "a slave has the floating address" one_holds
	lost=$(holder)
	say "the wire of $lost is cut"
	in_network ip link set "to-$lost" down
	eventually 60 "the other slave has the floating address" other_holds "$lost"
	docker ps --all --quiet | xargs docker rm --force >/dev/null
}

hosts=(master-1 master-2 master-3 slave-1 slave-2)

# on HOST COMMAND… runs a program of this machine on one of them.
on() { nsenter --net="/proc/$(docker inspect --format '{{.State.Pid}}' "net-$1")/ns/net" -- "${@:2}"; }

# start_host HOST does on one of them what the page says of the first. Its network is that
# of a container that does nothing else.
start_host() {
	local host=$1 address
	address=$(sed -n 's/^IP=//p' "examples/compose/hosts/$host")
	docker run --detach --name "net-$host" --network none debian:bookworm-slim sleep infinity >/dev/null
	in_network ip link add "to-$host" type veth peer name eth0 netns "$(docker inspect --format '{{.State.Pid}}' "net-$host")"
	in_network ip link set "to-$host" master lan up
	on "$host" ip address add "$address/24" dev eth0
	on "$host" ip link set eth0 up
	on "$host" ip route add default via 10.0.0.254
	cp -a examples/compose "$work/$host"
	instead="s|hosts/master-1|hosts/$host|; s/ master( |\$)/ ${host%-*}\\1/" NODE=$host type_block examples/compose/README.md 1 "$work/$host"
}

all_are_members() {
	local members host
	members=$(docker exec panteras-master-1 consul members -http-addr=10.0.0.1:8500)
	for host in "${hosts[@]}"; do
		grep -qE "^$host +\S+ +alive" <<<"$members" || return
	done
}

finds_masters() { [[ $(on slave-1 dig +short +time=2 +tries=1 @10.0.0.11 consul.service.consul | sort | xargs) == "10.0.0.1 10.0.0.2 10.0.0.3" ]]; }

# holder prints which slave has the floating address, if one alone has it.
holder() {
	local host found=''
	for host in slave-1 slave-2; do
		[[ $(on "$host" ip -o address show dev eth0) != *" 10.0.0.100/"* ]] || found+=$host
	done
	[[ $found == slave-? ]] && echo "$found"
}

one_holds() { holder >/dev/null; }

other_holds() {
	local host
	for host in slave-1 slave-2; do
		[[ $host == "$1" ]] || [[ $(on "$host" ip -o address show dev eth0) == *" 10.0.0.100/"* ]] || return
	done
}
