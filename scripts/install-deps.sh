#!/usr/bin/env bash
# install-deps.sh [GROUP...]    groups: build, models, test, bench (default: build)
# Installs the Debian or Ubuntu packages of the groups that are not there yet. Says what it installs; needs no root when
# nothing is missing.
set -euo pipefail

packages_of() {
    case $1 in
    build) echo gcc libc6-dev binutils meson ninja-build pkg-config libpcre2-dev libutf8proc-dev libjansson-dev \
        libedit-dev libxxhash-dev libcurl4-openssl-dev libssl-dev libevent-dev ;;
    models) echo python3 python3-pip ca-certificates ;;
    test) echo g++ libcmocka-dev python3-pytest python3-pytest-xdist python3-jinja2 clang libclang-rt-14-dev clang-format clang-tidy shellcheck gcovr \
        gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user ;;
    bench) echo python3-venv python3-pip cmake g++ ;;
    *)
        echo "install-deps.sh: there is no group $1 (build, models, test, bench)" >&2
        exit 2
        ;;
    esac
}

[ $# -gt 0 ] || set -- build
missing=()
for group; do
    for package in $(packages_of "$group"); do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
    done
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "dependencies ($*): all there"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "install-deps.sh: this system has no apt-get; please install the like of: ${missing[*]}" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "install-deps.sh: packages are missing, and here is neither root nor sudo. As root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "dependencies ($*): installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1
}
# Package lists may be old or absent (a fresh container): once more after an update.
if ! install && ! { "${as_root[@]}" apt-get update >"$log" 2>&1 && install; }; then
    tail -n 20 "$log" >&2
    echo "install-deps.sh: apt-get failed (above)" >&2
    exit 1
fi
