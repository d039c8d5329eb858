# The image of panteras; docs/image.md tells how to build and run it.
#
#     docker build -t panteras .

ARG GO_VERSION=1.26
ARG DEBIAN=bookworm

FROM golang:${GO_VERSION}-${DEBIAN} AS go
ARG GOPROXY
ARG GOSUMDB
ENV CGO_ENABLED=0
WORKDIR /src

FROM go AS consul
COPY tools/consul/go.mod tools/consul/go.sum ./
RUN go build -trimpath -ldflags '-s -w' -o /out/consul github.com/hashicorp/consul

FROM go AS consul-template
COPY tools/consul-template/go.mod tools/consul-template/go.sum ./
RUN go build -trimpath -ldflags '-s -w' -o /out/consul-template github.com/hashicorp/consul-template

FROM go AS panteras
COPY go.mod go.sum ./
RUN go mod download
# Not all that is there: packages/ may change without a program that does.
COPY cmd cmd/
COPY configs configs/
COPY dnsserver dnsserver/
COPY internal internal/
COPY launcher launcher/
COPY tunnel tunnel/
ARG VERSION=unknown
RUN go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /out/panteras ./cmd/panteras

FROM debian:${DEBIAN}-slim

LABEL org.opencontainers.image.title="panteras" \
      org.opencontainers.image.description="One host of a Consul-based platform: names, balancing, tunnel, supervision" \
      org.opencontainers.image.licenses="Apache-2.0"

# The first start may form a cluster; until it has, failing is not being ill.
HEALTHCHECK --interval=10s --timeout=5s --start-period=2m --retries=3 CMD ["panteras", "status", "--check"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["panteras"]
CMD ["up"]

# As root each daemon runs as a user of its own (docs/launcher.md). The numbers are
# fixed, because what those users keep outlives the image; packages find them made.
RUN for user in consul:801 zookeeper:802 panteras:803 marathon:804 chronos:805 haproxy:806; do \
        groupadd --system --gid "${user#*:}" "${user%:*}" \
        && useradd --system --uid "${user#*:}" --gid "${user%:*}" --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "${user%:*}" \
        || exit 1; \
    done

# ZooKeeper is taken as the library that it is, because the package around it asks for a
# Java with a display. Java's packages fail without the folder of manual pages.
RUN mkdir -p /usr/share/man/man1 \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates default-jre-headless haproxy iproute2 keepalived libzookeeper-java nftables \
    && rm -rf /var/lib/apt/lists/*

# Programs of the operator's own, such as Mesos, Marathon and Chronos: what lies in the
# folder packages/, if there is one. PROGRAMS are names that must be found afterwards.
COPY tools/packages.sh packages* /tmp/packages/
RUN /tmp/packages/packages.sh && rm -rf /tmp/packages
ARG PROGRAMS=""
RUN for program in $PROGRAMS; do \
        command -v "$program" || { echo "error: PROGRAMS asks for $program, which nothing in packages/ brings into PATH ($PATH)" >&2; exit 1; }; \
    done

COPY --from=consul /out/consul /usr/local/bin/
COPY --from=consul-template /out/consul-template /usr/local/bin/
COPY --from=panteras /out/panteras /usr/local/bin/

ARG VERSION=unknown
LABEL org.opencontainers.image.version="$VERSION"
