#!/usr/bin/env python3
"""Checks the dependency order of the source folders by reading #include lines.

    check_arrows.py SOURCE_ROOT        fails on an arrow that ALLOWED does not have
    check_arrows.py --self-test        fails unless forbidden includes are found in made-up trees

It also compiles the public header alone, as C and as C++.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# module -> what its files may include besides themselves, base and the public header
ALLOWED = {
    "base": set(),
    "system": set(),
    "quant": set(),
    "gguf": {"quant"},
    "tok": set(),
    "jinja": set(),
    "sample": {"tok"},
    "kernels": {"quant"},
    "ops": {"kernels", "quant"},
    "kv": {"ops", "quant", "kernels"},
    "model": {"gguf", "ops", "kv", "tok"},
    "engine": {"model", "sample", "jinja", "tok", "kv", "ops", "system"},
    "plan": {"gguf", "kv", "model", "engine", "system"},
    "server": set(),
    "fetch": set(),
    "cli": {"fetch", "server", "system"},
}
PUBLIC = {"kvasir/kvasir.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def forbidden(root):
    """Every line in src/ that breaks the order, as text."""
    found = []
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in (".c", ".h", ".inc") or not path.is_file():
            continue
        parts = path.relative_to(root / "src").parts
        if len(parts) < 2:
            continue
        module = parts[0]
        text = path.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            name = match.group(1)
            line = text.count("\n", 0, match.start(1)) + 1
            where = f"{path.relative_to(root)}:{line}"
            if module not in ALLOWED:
                found.append(f"{where}: {module} is not a module that check_arrows.py knows")
                break
            target = name.split("/")[0]
            if name in PUBLIC or target == module:
                continue
            if "/" not in name and (path.parent / name).exists():
                continue  # a file beside it
            if ".." in name.split("/"):
                found.append(f"{where}: {name} leaves its folder, write module/file.h")
            elif target == "base":
                continue
            elif target not in ALLOWED:
                if not (root / "src" / name).exists():
                    continue  # a file made by the build, or not ours
                found.append(f"{where}: {target} is not a module that check_arrows.py knows")
            elif target not in ALLOWED[module]:
                found.append(f"{where}: {module} may not use {target} ({name})")
    return found


def header_alone(root):
    """The public header compiles alone, as C and as C++, without warnings."""
    header = root / "include/kvasir/kvasir.h"
    found = []
    for language, compiler in (("c", os.environ.get("CC", "cc")), ("c++", os.environ.get("CXX", "c++"))):
        command = compiler.split() + ["-x", language, "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
        command += ["-std=c++11" if language == "c++" else "-std=c99"]
        with tempfile.TemporaryDirectory() as folder:
            main = Path(folder) / "alone"
            main.write_text(f'#include "{header.resolve()}"\nint main() {{ return 0; }}\n'
                            if language == "c++" else
                            f'#include "{header.resolve()}"\nint main(void) {{ return 0; }}\n')
            done = subprocess.run(command + [str(main)], capture_output=True, text=True)
        if done.returncode:
            found.append(f"include/kvasir/kvasir.h does not compile alone as {language}:\n{done.stderr}")
    return found


def self_test():
    """A check that cannot fail is none: every kind of breach in a small tree of its own."""
    cases = [
        ("src/base/a.c", '#include "quant/quant.h"\n', True),
        ("src/cli/run.c", '#include "base/mem.h"\n#include "kvasir/kvasir.h"\n#include <stdio.h>\n', False),
        ("src/cli/run.c", '#  include "engine/engine.h"\n', True),
        ("src/kernels/x86/avx2.c", '#include "kernels/vec.h"\n#include "quant/quant.h"\n', False),
        ("src/kernels/x86/avx2.c", '#include "ops/ops.h"\n', True),
        ("src/ops/linear.c", '#include "../kv/kv.h"\n', True),
        ("src/kv/pages.c", '#include "model/model.h"\n', True),
        ("src/engine/text.c", '#include "tok/tok.h"\n', False),
        ("src/tok/encode.c", '#include "jinja/jinja.h"\n', True),
        ("src/engine/step.c", '#include "plan/bytes/bytes.h"\n', True),
        ("src/newpart/a.c", '#include "base/mem.h"\n', True),
    ]
    for path, text, wrong in cases:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / path
            file.parent.mkdir(parents=True)
            file.write_text(text)
            if bool(forbidden(Path(folder))) != wrong:
                return [f"self-test: {path} with {text!r} was {'not ' if wrong else ''}reported"]
    with tempfile.TemporaryDirectory() as folder:
        header = Path(folder) / "include/kvasir/kvasir.h"
        header.parent.mkdir(parents=True)
        header.write_text("size_t needs_stddef(void);\n")
        if len(header_alone(Path(folder))) != 2:
            return ["self-test: a header that does not compile was not reported"]
    return []


def main():
    found = self_test() if sys.argv[1:] == ["--self-test"] else None
    if found is None:
        root = Path(sys.argv[1])
        found = forbidden(root) + header_alone(root)
    print("\n".join(found) if found else "in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
