#!/usr/bin/env bash
# quickstart.sh: from a fresh clone to an answer. Installs what is missing, builds into build/, fetches a small model
# and asks it about a text of some 5,000 tokens. One line for each step; what the tools say is in build-logs/quickstart.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$PWD/build-logs/quickstart.txt
kvasir=$PWD/build/src/cli/kvasir
mkdir -p build-logs
: >"$log"

# step WHAT COMMAND...: one line; if it fails, the end of what it said.
step() {
    local what=$1 started=$SECONDS
    shift
    printf '%-40s ' "$what ..."
    if "$@" >>"$log" 2>&1 </dev/null; then
        echo "done, $((SECONDS - started)) s"
        return
    fi
    echo "failed"
    tail -n 20 "$log" | sed 's/^/    /' >&2
    echo "quickstart.sh: this failed: $*" >&2
    echo "All of what it said: $log" >&2
    exit 1
}

build() {
    { [ -f build/build.ninja ] || meson setup build -Dtests=disabled; } && ninja -C build
}

step 'packages of the system' scripts/install-deps.sh build models
step 'building' build
step 'a small model (94 MiB)' scripts/fetch-models.sh -q smollm2

# By its name where kvasir looks for it, else by its path.
model=smollm2-135m-q4_1
if [ -n "${KVASIR_MODELS-}" ]; then model=$(scripts/fetch-models.sh --where)/$model.gguf; fi
question='Who built the ark, and why?'
printf '\nexamples/text/genesis.txt: %s\n' "$question"
"$kvasir" run "$model" -f examples/text/genesis.txt -p "$question" --temp 0 -n 64

command=$(printf '%q' "$kvasir") model=$(printf '%q' "$model")
cat <<END

What you can do now:
  $command run $model          # chat
  $command serve $model        # for programs, on http://127.0.0.1:8080/v1
  $command plan $model -c 8K   # what it takes, before it runs
END
