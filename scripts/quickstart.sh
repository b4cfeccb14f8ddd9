#!/usr/bin/env bash
# quickstart.sh: from a fresh clone to an answer. Installs what is missing, builds into build/, fetches a small model
# and asks it about a text of some 5,000 tokens.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-deps.sh build models
[ -f build/build.ninja ] || meson setup build -Dtests=false
ninja -C build --quiet
scripts/fetch-models.sh smollm2

model=${KVASIR_MODELS:-$HOME/.cache/kvasir/models}/smollm2-135m-q4_1.gguf
question='Who built the ark, and why?'
echo "> kvasir run $model -f examples/text/genesis.txt -p '$question' --temp 0 -n 64"
build/src/cli/kvasir run "$model" -f examples/text/genesis.txt -p "$question" --temp 0 -n 64
