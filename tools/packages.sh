#!/usr/bin/env bash
# Part of the Dockerfile: puts what lies beside this script into the image. Debian
# packages (*.deb) are installed, with what they depend on; archives (*.tar, *.tar.gz,
# *.tgz) are unpacked at /.
set -euo pipefail
shopt -s nullglob
cd "$(dirname "${BASH_SOURCE[0]}")"

packages=(./*.deb)
archives=(./*.tar ./*.tar.gz ./*.tgz)
for file in *; do
	case $file in
	packages.sh | *.deb | *.tar | *.tar.gz | *.tgz) ;;
	*)
		echo "error: packages/$file is neither a Debian package nor an archive (.deb, .tar, .tar.gz, .tgz)" >&2
		exit 1
		;;
	esac
done
if [[ ${#packages[@]} -gt 0 ]]; then
	export DEBIAN_FRONTEND=noninteractive
	dpkg --install "${packages[@]}" || {
		echo "some need others, which apt-get gets"
		apt-get update
		apt-get install --yes --no-install-recommends "${packages[@]}"
		rm -rf /var/lib/apt/lists/*
	}
fi
for archive in "${archives[@]}"; do
	echo "unpacking $archive"
	tar --extract --file "$archive" --directory / --no-same-owner --keep-directory-symlink
done
