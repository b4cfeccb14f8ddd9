#!/usr/bin/env python3
"""embed.py NAME FILE OUT.c: a file's bytes as `const unsigned char NAME[]` and `const size_t NAME_bytes`."""
import sys

name, source, target = sys.argv[1:]
with open(source, "rb") as f:
    data = f.read()
with open(target, "w", encoding="ascii") as f:
    f.write(f"#include <stddef.h>\nextern const unsigned char {name}[];\nextern const size_t {name}_bytes;\n")
    f.write(f"const unsigned char {name}[] = {{\n")
    for at in range(0, len(data), 24):
        f.write(",".join(map(str, data[at:at + 24])) + ",\n")
    f.write(f"0}};\nconst size_t {name}_bytes = {len(data)};\n")
