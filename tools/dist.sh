#!/usr/bin/env bash
# Makes what is released into dist/: for each of ARCHITECTURES (amd64 arm64) a tar file,
# a Debian package and a bill of materials (CycloneDX), and the checksums of all. Two
# runs on one commit with one Go make the same bytes, whenever and with whatever umask.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

read -ra architectures <<<"${ARCHITECTURES:-amd64 arm64}"
out="${DIST:-dist}"
version="${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo unknown)}"

# Debian's versions begin with a digit and sort: v1.2.3-4-gabc is 1.2.3+4.gabc, and a
# commit without a tag before it comes before every release.
case "$version" in
v[0-9]*) debian="$(sed -E 's/^v//; s/-([0-9]+)-g/+\1.g/; s/-dirty$/+dirty/; s/-/~/g' <<<"$version")" ;;
*) debian="0~git.$(tr -c 'a-zA-Z0-9.~\n' '.' <<<"$version")" ;;
esac

SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH
export CGO_ENABLED=0

rm -rf "$out"
mkdir -p "$out"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# For this machine, whatever is released.
flags=(-trimpath -ldflags "-s -w -X main.version=$version")
go build "${flags[@]}" -o "$work/here" ./cmd/panteras
go build -C tools/dist -o "$work/nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm
go build -C tools/dist -o "$work/cyclonedx" github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

# The unit is what a host with default settings exports.
mkdir "$work/settings"
env -i HOSTNAME=host IP=192.0.2.1 "$work/here" export systemd --restricted "$work/settings" |
	sed -e '1s|.*|# Settings are in /etc/panteras. To change this unit: systemctl edit panteras|' \
		-e "s|^ExecStart=.*|ExecStart=/usr/bin/panteras up --restricted /etc/panteras|" \
		-e '/^Environment=/d' >"$work/panteras.service"
"$work/here" completion bash >"$work/completion.bash"
# As they are for everybody, whatever the umask of the checkout is.
tar --create --mode='u=rwX,go=rX' --mtime="@$SOURCE_DATE_EPOCH" --sort=name examples | tar --extract --directory "$work" --same-permissions --no-same-owner

for arch in "${architectures[@]}"; do
	name="panteras_${version}_linux_$arch"
	mkdir -p "$work/$arch"
	if [[ $arch == "$(go env GOHOSTARCH)" && $(go env GOHOSTOS) == linux ]]; then
		cp "$work/here" "$work/$arch/panteras"
	else
		GOARCH="$arch" GOOS=linux go build "${flags[@]}" -o "$work/$arch/panteras" ./cmd/panteras
	fi
	cp LICENSE README.md "$work/$arch/"
	cp "$work/panteras.service" "$work/$arch/"
	tar --create --use-compress-program='gzip --no-name' --file "$out/$name.tar.gz" --directory "$work/$arch" --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
		--mode='u=rwX,go=rX' --owner=0 --group=0 --numeric-owner --transform "s|^\.|$name|" .
	"$work/cyclonedx" bin -json -noserial -notimestamp -output "$out/$name.cdx.json" "$work/$arch/panteras" 2>"$work/log" ||
		{ cat "$work/log" >&2; exit 1; }
	sed -e "s|@ARCH@|$arch|; s|@VERSION@|$debian|; s|@WORK@|$work|; s|@BINARY@|$work/$arch/panteras|; s|@HERE@|$PWD|" tools/dist/nfpm.yaml >"$work/nfpm.yaml"
	"$work/nfpm" package --config "$work/nfpm.yaml" --packager deb --target "$out/panteras_${debian}_$arch.deb" >/dev/null
done
(cd "$out" && sha256sum -- * >"$work/sums" && mv "$work/sums" SHA256SUMS && cat SHA256SUMS)
