#!/usr/bin/env bash
# test.sh [quick | STAGE...]    Every check the project has; `quick`: unit, kernel and end-to-end tests of one build only;
# or the named stages: unit e2e format aarch64 asan_ubsan asan_e2e tsan coverage clang_tidy.
# Each stage prints its counts and its time; logs lie in build-logs/. The last line is "N passed, N failed, N skipped"
# over all stages, and the exit status is nonzero when anything failed.
# shellcheck disable=SC2317 # stages are called by name
set -uo pipefail
cd "$(dirname "$0")/.." || exit
every='unit e2e format aarch64 asan_ubsan asan_e2e tsan coverage clang_tidy'
case ${1-} in
'') stages=$every ;;
quick) stages='unit e2e' ;;
*)
    stages=$*
    for name; do
        [[ " $every " == *" $name "* ]] || { echo "test.sh: there is no stage $name (quick, $every)" >&2; exit 2; }
    done
    ;;
esac
logs=$PWD/build-logs
mkdir -p "$logs"
passed=0 failed=0 skipped=0
jobs=$(nproc)
limit=900 # seconds for one stage's tests
wrapper="$PWD/tools/own_core.sh $logs" # of meson's tests

# stage NAME: runs the function of that name with its output in a log. It may write "passed failed skipped" to $counts;
# without that the stage counts as one check.
stage() {
    local name=$1 log=$logs/$1.txt started=$SECONDS status
    counts=$logs/$1.counts
    rm -f "$counts"
    "$name" >"$log" 2>&1
    status=$?
    local p=0 f=0 s=0
    if [ -s "$counts" ]; then read -r p f s <"$counts"; elif [ $status -eq 0 ]; then p=1; else f=1; fi
    # A stage that ended badly without counting a failure (a crash of the runner) is one.
    if [ $status -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-22s %5d passed %4d failed %4d skipped %5d s%s\n' "$name" "$p" "$f" "$s" $((SECONDS - started)) \
        "$([ -f "$logs/$name.note" ] && printf '   ' && cat "$logs/$name.note")"
    rm -f "$logs/$name.note"
    if [ "$f" -ne 0 ]; then
        tail -n 40 "$log" | sed 's/^/    /'
        echo "    (all of it: $log)"
    fi
    return $((f != 0))
}

# Configures a folder once, and again when the options differ.
configure() {
    local folder=$1
    shift
    if [ -f "$folder/build.ninja" ]; then
        meson setup --reconfigure "$folder" "$@" || { rm -rf "$folder" && meson setup "$folder" "$@"; }
    else
        rm -rf "$folder" && meson setup "$folder" "$@"
    fi
}

# Sums what meson test says, over its programs.
meson_tests() {
    local folder=$1 out=$logs/meson-summary status
    shift
    # Sanitizers and emulation are slow: no limits for single tests, one for the stage.
    timeout -k 5 "$limit" meson test -C "$folder" --no-rebuild --print-errorlogs --num-processes "$jobs" \
        --timeout-multiplier 0 --wrapper "$wrapper" "$@" | tee "$out"
    status=${PIPESTATUS[0]}
    awk '/^(Ok|Expected Fail):/ { p += $NF } /^(Fail|Unexpected Pass|Timeout):/ { f += $NF } /^Skipped:/ { s += $NF }
         END { print p + 0, f + 0, s + 0 }' "$out" >"$counts"
    return "$status"
}

dependencies() { scripts/install-deps.sh build models test; }
# Warnings are errors in continuous integration; a stranger's newer compiler may have new ones.
build() {
    configure build -Dtests=enabled -Dwerror="$([ -n "${CI-}" ] && echo true || echo false)" && ninja -C build
}
# The tests look into KVASIR_MODELS, wherever the cache is.
models() { KVASIR_MODELS=${KVASIR_MODELS:-$HOME/.cache/kvasir/models} scripts/fetch-models.sh smollm2; }
unit() { meson_tests build --no-suite e2e; }

# pytest alone, to count its cases; a file's cases stay in one process, which has their fixtures.
pytest_e2e() {
    local folder=$1 xml=$logs/e2e.xml status
    shift
    KVASIR_BIN=$PWD/$folder/src/cli/kvasir KVASIR_BUILD=$PWD/$folder KVASIR_SOURCE=$PWD \
        timeout -k 5 "$limit" /usr/bin/python3 -m pytest -q -p no:cacheprovider -n "$jobs" --dist loadfile --junitxml "$xml" \
        "$@" tests/e2e
    status=$?
    /usr/bin/python3 - "$xml" >"$counts" <<'END'
import sys, xml.etree.ElementTree as tree
suite = next(tree.parse(sys.argv[1]).iter("testsuite"))
total, bad, skipped = (int(suite.get(k)) for k in ("tests", "failures", "skipped"))
bad += int(suite.get("errors"))
print(total - bad - skipped, bad, skipped)
END
    return "$status"
}
e2e() { pytest_e2e build; }

# KVASIR_DEBUG: kv_check after every operation on the KV cache.
# Real models are left out below: instrumented arithmetic over them costs minutes and finds nothing new.
build_asan() {
    configure build-asan -Dtests=enabled -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debug -Doptimization=1 \
        -Dc_args=-DKVASIR_DEBUG && ninja -C build-asan
}
asan_ubsan() {
    build_asan || return
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_stack_use_after_return=1
    KVASIR_TEST_SHORT=1 KVASIR_MODELS=/nonexistent meson_tests build-asan --no-suite e2e --no-suite source
}
asan_e2e() {
    build_asan || return # so that the stage can be run alone
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    KVASIR_TEST_SHORT=1 KVASIR_MODELS=/nonexistent pytest_e2e build-asan
}
# What uses threads: the team and everything that runs on it, on all cores.
tsan() {
    configure build-tsan -Dtests=enabled -Db_sanitize=thread -Db_lundef=false -Dbuildtype=debug -Doptimization=1 || return
    ninja -C build-tsan tests/unit/test_base tests/unit/test_engine &&
        KVASIR_TEST_SHORT=1 KVASIR_MODELS=/nonexistent TSAN_OPTIONS=halt_on_error=1 \
            wrapper=env meson_tests build-tsan base engine
}
aarch64() {
    configure build-arm --cross-file tools/cross/aarch64-linux-gnu.ini -Dkernels_only=true && ninja -C build-arm &&
        meson_tests build-arm
}

c_files() { git ls-files 'src/*.c' 'src/*.h' 'include/*.h' 'tests/*.c' 'tests/*.h' 'examples/*.c' 'bench/*.c'; }
format() {
    c_files | xargs clang-format --dry-run -Werror && shellcheck scripts/*.sh tools/*.sh bench/peers/*.sh .ci/run
}
clang_tidy() {
    # Headers are looked at through the files that include them.
    configure build-tidy -Dtests=disabled -Dcli=enabled || return
    git ls-files 'src/*.c' | grep -v -e '^src/kernels/arm/' -e '_tables\.c$' |
        xargs -P "$jobs" -n 4 clang-tidy -p build-tidy --quiet --extra-arg=-Wno-unknown-warning-option
}

# Counters of threads must be atomic: GCC makes loop variables of the plain ones, which other threads then change.
coverage() {
    configure build-cov -Dtests=enabled -Db_coverage=true -Dbuildtype=debug -Doptimization=1 -Dc_args=-fprofile-update=atomic &&
        ninja -C build-cov || return
    find build-cov -name '*.gcda' -delete
    local -x KVASIR_TEST_SHORT=1 KVASIR_MODELS=/nonexistent
    local p f s more status=0
    meson_tests build-cov --no-suite source --no-suite kernels --no-suite bits --no-suite e2e || status=1
    read -r p f s <"$counts"
    pytest_e2e build-cov || status=1
    read -r -a more <"$counts"
    echo $((p + more[0])) $((f + more[1])) $((s + more[2])) >"$counts"
    [ "$status" -eq 0 ] || return
    gcovr -r . --object-directory build-cov -f src/ -j "$jobs" --gcov-ignore-parse-errors -s | tail -n 12 |
        tee "$logs/coverage-summary"
    grep '^lines' "$logs/coverage-summary" >"$logs/coverage.note"
}

finish() {
    echo "total: $((SECONDS / 60)) min $((SECONDS % 60)) s"
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}

# Without these nothing else can run.
stage dependencies || finish
stage build || finish
stage models
for name in $stages; do stage "$name"; done
finish
