#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME (10s) each: `go test -fuzz`
# itself takes one target of one package at a time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=$(go list ./...)
for package in $packages; do
	listed=$(go test -list '^Fuzz' "$package") # the targets, and a line about the package
	for target in $listed; do
		[[ $target == Fuzz* ]] || continue
		echo "==> $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" "$package"
	done
done
