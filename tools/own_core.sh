#!/usr/bin/env bash
# own_core.sh FOLDER PROGRAM [ARG...]    Runs a program on a core that none of the others started so is using, as long as there
# is one (locks lie in the folder). Tests side by side whose threads take turns on the same cores wait for each other: ten times
# as long as alone.
folder=$1
shift
allowed=$(taskset -pc $$ 2>/dev/null) || exec "$@"
IFS=, read -r -a ranges <<<"${allowed##*: }"
for range in "${ranges[@]}"; do
    for core in $(seq "${range%-*}" "${range#*-}"); do
        exec 9>"$folder/core-$core.lock" && flock -n 9 && exec taskset -c "$core" "$@"
    done
done
exec "$@" 9>&-
