#!/bin/sh
# public_archive.sh CC... -- OBJCOPY AR OUT.a OBJECT...
# Makes an archive of one object in which only names of default visibility (the public header's) can be seen from
# outside, so that a program's own gguf_open or step does not collide with the library's.
set -eu
cc=
while [ "$1" != -- ]; do
    cc="$cc $1"
    shift
done
objcopy=$2 ar=$3 out=$4
shift 4
whole="${out%.a}.whole.o"
$cc -r -nostdlib -o "$whole" "$@"
"$objcopy" --localize-hidden "$whole"
rm -f "$out"
"$ar" rcs "$out" "$whole"
rm -f "$whole"
