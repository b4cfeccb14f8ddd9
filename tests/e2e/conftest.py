"""The command under test and the data it is tested with.

KVASIR_BIN names the binary (default build/src/cli/kvasir), KVASIR_MODELS the folder of real models (default
~/.cache/kvasir/models; tests that need one are skipped without it)."""
import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(room) for room in sorted(HERE.iterdir()) if room.is_dir()]  # rig, and tests that use each other's tools
pytest_plugins = ["serving"]  # its fixtures
SOURCE = Path(os.environ.get("KVASIR_SOURCE", HERE.parents[1]))
BIN = os.environ.get("KVASIR_BIN", str(SOURCE / "build/src/cli/kvasir"))
MODELS = Path(os.environ.get("KVASIR_MODELS", "~/.cache/kvasir/models")).expanduser()
SHORT = bool(os.environ.get("KVASIR_TEST_SHORT"))  # with sanitizers, or counting lines: what takes long is left out
TEMPLATE = str(HERE / "rig/chat.jinja")
COMMANDS = ["run", "inspect", "tokenize", "template", "eval", "plan", "probe", "tune", "verify", "sweep", "serve", "bench", "pull", "list", "rm"]
SETTINGS = tempfile.mkdtemp(prefix="kvasir-settings-")
atexit.register(shutil.rmtree, SETTINGS, ignore_errors=True)


def pytest_configure():
    """Of tests side by side each process has a core, and so has what it starts: two programs whose threads take turns on the
    same cores wait for each other."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


def environment(**more):
    """The user's own profile, configurations and measurements are neither read nor written."""
    env = {k: v for k, v in os.environ.items() if k not in ("KVASIR_CPU", "NO_COLOR")}
    env["XDG_CONFIG_HOME"] = SETTINGS
    env.update(more)
    return env


def kvasir(*args, input=None, code=0, timeout=600, **env):
    """Runs the command and checks its exit status, which may be one of several. Text in and out is bytes, as for the shell."""
    if isinstance(input, str):
        input = input.encode()
    done = subprocess.run([BIN, *map(str, args)], input=input if input is not None else b"", capture_output=True,
                          timeout=timeout, env=environment(**env))
    assert done.returncode in (code if isinstance(code, tuple) else (code,)), f"exit status {done.returncode}, not {code}\n{args}\n{done.stderr.decode(errors='replace')}"
    return done


def kvasir_json(*args, **options):
    done = kvasir(*args, "--json", **options)
    document = json.loads(done.stdout)
    assert document["schema"] == f"kvasir.{args[0]}/1"
    return document


def data(name):
    """A reference file of shared/fixtures, or of the copy in tests/golden; None when neither has it."""
    for place in (SOURCE.parent / "shared/fixtures", SOURCE / "tests/golden"):
        if (place / name).exists():
            return place / name
    return None


def tiny(name):
    path = data(f"models/{name}.gguf")
    assert path, f"{name}.gguf is in tests/golden/models"
    return str(path)


def model_case(name):
    manifest = json.loads(data("models/manifest.json").read_text())
    return next(c for c in manifest["cases"] if c["name"] == name)


@pytest.fixture(scope="session")
def llama():
    return tiny("llama-tied")


def real_model(name):
    path = MODELS / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return str(path)


@pytest.fixture(scope="session")
def smollm():
    return real_model("smollm2-135m-q4_1.gguf")
