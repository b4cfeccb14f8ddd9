"""The scripts of a clone: what they say, and when they fail; and a build without the tests' libraries."""
import os
import shutil
import subprocess

import pytest

from conftest import SOURCE


def run(*args, code=0, cwd=None, **env):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, cwd=cwd, env=dict(os.environ, **env), check=False)
    assert done.returncode == code, done.stderr
    return done


def test_where_models_are_put(tmp_path):
    def where(**env):
        clean = {"KVASIR_MODELS": "", "KVASIR_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/home/x"}
        return run(SOURCE / "scripts/fetch-models.sh", "--where", **{**clean, **env}).stdout.strip()
    assert where() == where(XDG_CACHE_HOME="relative") == "/home/x/.cache/kvasir/models"
    assert where(XDG_CACHE_HOME="/cache") == "/cache/kvasir/models"
    assert where(XDG_CACHE_HOME="/cache", KVASIR_CACHE="/own") == "/own"
    assert where(KVASIR_CACHE="/own", KVASIR_MODELS="/tests") == "/tests"


def test_fetch_models_says_why_it_failed(tmp_path):
    """pip's words are shown only then."""
    done = run(SOURCE / "scripts/fetch-models.sh", "-q", "smollm2", code=1, KVASIR_MODELS=str(tmp_path), PIP_INDEX_URL="http://127.0.0.1:1/",
               PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert "could not download" in done.stderr and "ERROR" in done.stderr and list(tmp_path.iterdir()) == []
    assert "there is no model nosuch" in run(SOURCE / "scripts/fetch-models.sh", "nosuch", code=1, KVASIR_MODELS=str(tmp_path)).stderr


@pytest.fixture
def clone(tmp_path):
    """A clone whose tools do nothing, but say much."""
    root = tmp_path / "a clone"
    (root / "scripts").mkdir(parents=True)
    (root / "build/src/cli").mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "build/build.ninja").touch()
    shutil.copy(SOURCE / "scripts/quickstart.sh", root / "scripts")
    for name, text in {"scripts/install-deps.sh": "seq 100", "scripts/fetch-models.sh": 'if [ "$1" = --where ]; then echo /models; fi; seq 100',
                       "bin/ninja": "seq 100; echo warning >&2", "build/src/cli/kvasir": 'echo "asked: $*"'}.items():
        (root / name).write_text(f"#!/bin/sh\n{text}\n")
        (root / name).chmod(0o755)
    return root


def quickstart(clone, **more):
    return run(clone / "scripts/quickstart.sh", PATH=f"{clone}/bin:{os.environ['PATH']}", **{"KVASIR_MODELS": "", **more})


def test_quickstart_is_quiet(clone):
    lines = quickstart(clone).stdout.splitlines()
    assert [line.split(" ...")[0] for line in lines[:3]] == ["packages of the system", "building", "a small model (94 MiB)"]
    assert all(line.endswith(" s") and ", " in line and "done" in line for line in lines[:3]) and len(lines) == 11
    assert any(line.startswith("asked: run smollm2-135m-q4_1 -f examples/text/genesis.txt") for line in lines)
    kvasir = str(clone / "build/src/cli/kvasir").replace(" ", "\\ ")
    assert [line.split("#")[0].strip() for line in lines[-3:]] == [
        f"{kvasir} run smollm2-135m-q4_1", f"{kvasir} serve smollm2-135m-q4_1", f"{kvasir} plan smollm2-135m-q4_1 -c 8K"]
    for line in lines[-3:]:  # they can be pasted
        assert run("bash", "-c", line).stdout.startswith("asked: ")
    assert (clone / "build-logs/quickstart.txt").read_text().count("\n100\n") == 3
    (clone / "scripts/fetch-models.sh").write_text("#!/bin/sh\necho /models\n")
    assert "asked: run /models/smollm2-135m-q4_1.gguf" in quickstart(clone, KVASIR_MODELS="/models").stdout


@pytest.mark.parametrize("tool", ["scripts/install-deps.sh", "bin/ninja", "scripts/fetch-models.sh"])
def test_quickstart_that_fails(clone, tool):
    (clone / tool).write_text("#!/bin/sh\nseq 100\necho what is wrong >&2\nexit 7\n")
    done = run(clone / "scripts/quickstart.sh", code=1, PATH=f"{clone}/bin:{os.environ['PATH']}")
    assert "failed" in done.stdout.splitlines()[-1]
    lines = done.stderr.splitlines()
    assert lines[-1] == f"All of what it said: {clone}/build-logs/quickstart.txt"
    assert "    what is wrong" in lines and "    100" in lines and "    50" not in lines


def test_a_build_without_cmocka(tmp_path):
    """Configures where pkg-config finds everything but cmocka: the tests are left out, and the summary says so."""
    if not shutil.which("meson") or not shutil.which("pkg-config"):
        pytest.skip("meson is not there")
    found = tmp_path / "pc"
    found.mkdir()
    for folder in run("pkg-config", "--variable", "pc_path", "pkg-config").stdout.strip().split(":"):
        for path in os.listdir(folder) if os.path.isdir(folder) else ():
            if path.endswith(".pc") and "cmocka" not in path and not (found / path).exists():
                (found / path).symlink_to(os.path.join(folder, path))
    env = {"PKG_CONFIG_LIBDIR": str(found), "PKG_CONFIG_PATH": "", "CMAKE": "false"}
    text = run("meson", "setup", tmp_path / "build", cwd=SOURCE, **env).stdout
    assert "tests         : left out: cmocka is not installed" in text
    names = run("meson", "introspect", "--targets", tmp_path / "build").stdout
    assert '"kvasir"' in names and '"test_base"' not in names
    run("meson", "setup", tmp_path / "second", "-Dtests=enabled", cwd=SOURCE, code=1, **env)
