"""meson install into a temporary folder: what lies there is enough to build and run a program of one's own."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import SOURCE

BUILD = Path(os.environ.get("KVASIR_BUILD", SOURCE / "build"))
PUBLIC = "kvasir_"


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def instrumented():
    """Objects of such a build ask for the compiler's own run-time library, which pkg-config does not name."""
    options = {o["name"]: o["value"] for o in json.loads(run("meson", "introspect", "--buildoptions", BUILD))}
    return options["b_sanitize"] != "none" or options["b_coverage"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The prefix, moved behind DESTDIR, as a packager sees it."""
    if instrumented():
        pytest.skip("a build with sanitizers or coverage is not for installing")
    destination = tmp_path_factory.mktemp("install")
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", destination)
    pc = list(destination.rglob("kvasir.pc"))
    assert len(pc) == 1, "one pkg-config file"
    prefix = next(line.split("=", 1)[1].strip() for line in pc[0].read_text().splitlines() if line.startswith("prefix="))
    return destination, destination / prefix.lstrip("/"), pc[0].parent


def tiny_model():
    for place in (SOURCE.parent / "shared/fixtures/models", SOURCE / "tests/golden/models"):
        for name in ("llama-gqa.gguf", "llama-tied.gguf"):
            if (place / name).exists():
                return place / name
    pytest.fail("no tiny model in tests/golden/models")


def flags(installed, *more):
    destination, _, pc = installed
    env = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=str(destination), PKG_CONFIG_PATH=str(pc))
    # The sysroot is put before the paths of pcre2 and utf8proc too; theirs are the system's default ones, which
    # pkg-config leaves out.
    return run("pkg-config", *more, "--cflags", "--libs", "kvasir", env=env).split()


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_program(installed, tmp_path, static):
    _, prefix, pc = installed
    program = tmp_path / "generate"
    run("cc", "-Wall", "-Wextra", "-Werror", SOURCE / "examples/generate.c", *(["-static"] if static else []),
        *flags(installed, *(["--static"] if static else [])), "-o", program)
    env = dict(os.environ, LD_LIBRARY_PATH=str(pc.parent))
    done = subprocess.run([program, tiny_model(), "hello there", "8"], capture_output=True, text=True, env=env,
                          errors="replace")
    assert done.returncode == 0, done.stderr
    assert "8 written" in done.stderr
    linked = run("ldd", program, env=env) if not static else ""
    assert static or str(pc.parent) in linked, linked
    missing = subprocess.run([program, tmp_path / "absent.gguf", "x"], capture_output=True, text=True, env=env)
    assert missing.returncode == 1 and "absent.gguf" in missing.stderr


def test_symbols(installed):
    """Only the public header's names can be seen, in the shared library and in the archive."""
    _, _, pc = installed
    header = (SOURCE / "include/kvasir/kvasir.h").read_text()
    shared = [line.split() for line in run("nm", "-D", "--defined-only", pc.parent / "libkvasir.so").splitlines()]
    names = {s[2].split("@")[0] for s in shared if s[1] != "A"}
    assert "kvasir_generate" in names
    assert [n for n in names if not n.startswith(PUBLIC) or n not in header] == []
    archive = [line.split() for line in run("nm", "--defined-only", "-g", pc.parent / "libkvasir.a").splitlines()]
    inside = {s[2] for s in archive if len(s) == 3}
    assert inside == names


def test_files(installed):
    _, prefix, pc = installed
    assert (prefix / "bin/kvasir").exists()
    assert (prefix / "include/kvasir/kvasir.h").read_bytes() == (SOURCE / "include/kvasir/kvasir.h").read_bytes()
    so = pc.parent / "libkvasir.so"
    assert so.is_symlink() and (pc.parent / "libkvasir.so.0").is_symlink()
    text = (pc / "kvasir.pc").read_text()
    assert "Requires.private:" in text and "libpcre2-8" in text
    assert "Version: 0.1.0" in text
    env = dict(os.environ, PATH="/usr/bin:/bin")
    assert "0.1.0" in run(prefix / "bin/kvasir", "--version", env=env)


def test_manual_and_completions(installed):
    destination, prefix, _ = installed
    pages = {p.name for p in (prefix / "share/man/man1").glob("*")}
    assert "kvasir.1" in pages and "kvasir-run.1" in pages
    if shutil.which("man"):
        page = run("man", "-l", prefix / "share/man/man1/kvasir-run.1", env=dict(os.environ, MANPAGER="cat"))
        assert "--temp" in page
    for name in ("bash-completion/completions/kvasir.bash", "zsh/site-functions/_kvasir",
                 "fish/vendor_completions.d/kvasir.fish"):
        assert (prefix / "share" / name).stat().st_size > 100
    run("bash", "-n", prefix / "share/bash-completion/completions/kvasir.bash")
