#!/usr/bin/env python3
"""embed.py NAME OUT.c FILE...: the files as `const embedded NAME[]` (src/cli/files/embedded.h), called by their names without what is
behind the last dot."""
import sys
from pathlib import Path

name, target, *sources = sys.argv[1:]
with open(target, "w", encoding="ascii") as f:
    f.write('#include "cli/files/embedded.h"\n')
    for i, source in enumerate(sources):
        data = Path(source).read_bytes()
        f.write(f"static const unsigned char data_{i}[] = {{\n")
        for at in range(0, len(data), 24):
            f.write(",".join(map(str, data[at:at + 24])) + ",\n")
        f.write("0};\n")
    f.write(f"const embedded {name}[] = {{\n")
    for i, source in enumerate(sources):
        f.write(f'    {{"{Path(source).stem}", (const char *)data_{i}, sizeof data_{i} - 1}},\n')
    f.write("    {0},\n};\n")
