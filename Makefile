# `make` alone tells what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# Where git refuses to work (no git, or a checkout of another user, as containers
# often have it) the Go command must not ask it for a commit, or it fails.
ifeq ($(VERSION),unknown)
export GOFLAGS += -buildvcs=false
endif

LINT := go tool -modfile=tools/lint/go.mod

# Files that may hold scripts of ours, for shellcheck.
SCRIPTS := .ci/run $(wildcard tools/*.sh tools/dist/*.sh test/image/*.sh)

export FUZZTIME ?= 10s

.PHONY: help
help: ## tell what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

# A Go that is missing or too old should say so, and not fail somewhere later.
.PHONY: go
go:
	@command -v go >/dev/null || { \
		echo "error: go is not installed; get Go $$(awk '/^go / { print $$2 }' go.mod) or newer from https://go.dev/dl" >&2; exit 1; }
	@go list -m >/dev/null 2>&1 || { \
		echo "error: this is $$(cd / && go version), too old; get Go $$(awk '/^go / { print $$2 }' go.mod) or newer from https://go.dev/dl" >&2; \
		go list -m >/dev/null; exit 1; }

.PHONY: build
build: go ## build bin/panteras, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/panteras ./cmd/panteras

.PHONY: tools
tools: bin/consul bin/consul-1.13 bin/consul-template bin/wireguard-go bin/coredns bin/resolved bin/dhclient ## build the real programs that tests and `make up` run

bin/consul bin/consul-1.13: program := github.com/hashicorp/consul
bin/consul-template: program := github.com/hashicorp/consul-template
bin/wireguard-go: program := golang.zx2c4.com/wireguard
bin/coredns: program := .
bin/coredns: tools/coredns/main.go
bin/consul bin/consul-1.13 bin/consul-template bin/wireguard-go bin/coredns: bin/%: tools/%/go.mod tools/%/go.sum | go
	@echo "==> building $@ from source, which takes minutes the first time"
	@cd tools/$* && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../../$@ $(program)
	@touch $@

bin/resolved: package := systemd-resolved
bin/dhclient: package := isc-dhcp-client
bin/resolved bin/dhclient: | deps # of two that run apt-get at once, one fails
	@echo "==> unpacking $(package)"
	@tools/unpack.sh $(package) $@

bin/dnsdist-1.9:
	@echo "==> unpacking the dnsdist of Debian 13"
	@tools/dnsdist.sh $@ || echo "==> not to be had here: the benchmarks take the distribution's"

.PHONY: deps
deps: ## install the packages that tests need (Debian, Ubuntu), if any is missing
	@tools/deps.sh test

# Allocation tests mean nothing under the race detector, so they run without.
# They belong in files that begin with `//go:build !race`: a skip is a failure in CI.
.PHONY: test
test: deps tools build ## run every test
	go run ./tools/gotest -race -vet=off -timeout 40m ./...
	go run ./tools/gotest -run Allocs -timeout 5m ./dnsserver

# As in the builds above, or every dependency is compiled once more.
.PHONY: lint
lint: export CGO_ENABLED = 0
lint: export GOFLAGS += -trimpath
lint: go ## check format, and what vet, staticcheck, govulncheck, deadcode and shellcheck find
	@tools/deps.sh lint
	@unformatted="$$($(LINT) gofumpt -l .)"; \
		if [[ -n $$unformatted ]]; then echo "error: not formatted; run: $(LINT) gofumpt -w" $$unformatted >&2; exit 1; fi
	go vet ./...
	$(LINT) staticcheck ./...
	@dead="$$($(LINT) deadcode -test ./...)"; \
		if [[ -n $$dead ]]; then printf 'error: never called:\n%s\n' "$$dead" >&2; exit 1; fi
	shellcheck $(SCRIPTS)
	@tools/vulncheck.sh

.PHONY: bench
bench: go tools build bin/dnsdist-1.9 ## run the benchmarks
	@tools/deps.sh test bench
	go test -run '^$$' -bench . -benchmem -timeout 2h ./...

.PHONY: bench-dns
bench-dns: go build bin/consul bin/coredns bin/dnsdist-1.9 ## measure the DNS server beside others (BENCHFLAGS='-rounds 3')
	@tools/deps.sh test bench
	go test -run '^$$' -bench DNS -benchtime 1x -timeout 2h ./test/dnsbench $(BENCHFLAGS)

.PHONY: bench-tunnel
bench-tunnel: go tools build ## measure the tunnel beside others and with 10,000 peers, 9 to 12 minutes (BENCHFLAGS='-tunnel-rounds 3' for less)
	@tools/deps.sh test bench
	go test -run '^$$' -bench '^BenchmarkTunnel' -benchtime 1x -timeout 40m ./test $(BENCHFLAGS)

.PHONY: soak
soak: tools build ## ask the DNS server for SOAKTIME (30m) at SOAKRATE (20000/s) while its Consul, recursors and settings change, and its program
	@tools/deps.sh test
	SOAKTIME="$${SOAKTIME:-30m}" SOAKRATE="$${SOAKRATE:-20000}" go test -count=1 -v -timeout 24h -run '^TestSoak' -parallel 1 ./test

.PHONY: fuzz
fuzz: go ## run each fuzz target for FUZZTIME
	@tools/fuzz.sh

.PHONY: dist
dist: go ## make what is released: tar files, Debian packages, bills of materials, checksums
	@VERSION=$(VERSION) tools/dist.sh

.PHONY: up
up: ## bring this host up: Consul, DNS and what else is installed
	@tools/up.sh up

.PHONY: down
down: ## stop what `make up` started
	@tools/up.sh down

.PHONY: clean
clean: down ## remove what was built and what `make up` left (not the programs of `make tools`: rm -r bin)
	rm -rf bin/panteras dist var
