# How check.sh types what pages print: blocks of the kind `console on=docker`.
# shellcheck shell=bash disable=SC2154 # what check.sh has set

at=() # what comes before a command, such as in_network

# text_block PAGE KIND N prints the Nth block of a kind in a page.
text_block() {
	awk -v kind="\`\`\`$2" -v want="$3" '
		inside && /^```$/ { inside = 0; next }
		inside { if (inside == "it" && seen == want) print; next }
		/^```/ { inside = "other"; if ($0 == kind) { inside = "it"; seen++ } }' "$1"
}

# type_block PAGE N FOLDER types the Nth block of a page in a folder. $instead, if any, are
# commands of sed that change it.
type_block() {
	local page=$1 n=$2 folder=$3 line command='' want=''
	say "typing block $n of $page"
	echo "$page $n" >>"$work/typed"
	while IFS= read -r line <&3; do
		if [[ $line == '$ '* ]]; then
			[[ -z $command ]] || enter
			command=${line#'$ '} want=''
		else
			want+=$line$'\n'
		fi
	done 3< <(text_block "$page" 'console on=docker' "$n" | sed -E "${instead-}")
	[[ -n $command ]] || die "$page has no block $n that is typed with Docker"
	enter
}

# enter types $command in $folder. One that prints something is repeated until it prints
# $want, because what it shows takes some seconds; … stands for anything.
enter() {
	local deadline=$((SECONDS + 120))
	until prints; do
		if [[ -z $want ]] || ((SECONDS > deadline)); then
			details >&2
			die "$page: $command prints: $(<"$work/output") $(<"$work/stderr") and not: $want"
		fi
		sleep 0.2
	done
}

prints() {
	# shellcheck disable=SC2031
	(cd "$folder" && PATH="$work/bin:$PATH" "${at[@]}" bash -c "$command") >"$work/output" 2>"$work/stderr" </dev/null || return
	[[ -z $want || $want == $'…\n' || $(<"$work/output")$'\n' == "$want" ]]
}

# all_typed fails if a page has a block that nobody has typed.
all_typed() {
	local page n
	for page in README.md docs/*.md examples/*/README.md; do
		n=$(grep -cx '```console on=docker' "$page" || true)
		while ((n > 0)); do
			grep -qxF "$page $n" "$work/typed" || die "nobody types block $n of $page"
			n=$((n - 1))
		done
	done
}
