import json
import math
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import BIN, SHORT, SOURCE, environment, kvasir, kvasir_json, tiny
from shapes import BENCH, check


def test_document():
    level = [] if SHORT else ["--cpu", "ref"]  # plain C that is instrumented takes minutes
    document = kvasir_json("bench", "--seconds", "0.5", "-t", "2", *level)
    check(document, BENCH)
    rows = document["rows"]
    limits = [r for r in rows if r["limit"] is None]
    assert limits and len(limits) < len(rows), "there are limits, and kernels beside them"
    assert all(r["value"] > 0 and 1 <= r["threads"] <= 2 for r in rows)
    assert all((r["share"] is None) == (r["limit"] is None) for r in rows)
    assert any("gemv" in r["name"] for r in rows)


def test_table():
    lines = kvasir("bench", "--seconds", "0.5", "-t", "1").stdout.decode().splitlines()
    assert lines[0].split() == ["what", "thr", "value", "unit", "share"] and len(lines) > 10
    assert all(re.search(r" +1 +\d+\.\d\d \S+( +\d+\.\d%)?$", line.rstrip()) for line in lines[1:]), lines


def test_unknown_level():
    assert b"nonsense" in kvasir("bench", "--cpu", "nonsense", code=2).stderr


def test_interrupted():
    process = subprocess.Popen([BIN, "bench", "--seconds", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) in (-2, 130)
    process.communicate()


# ---- programs of bench/ ---------------------------------------------------------------------------------------------

def lines_of(program, *args):
    path = Path(os.environ.get("KVASIR_BUILD", SOURCE / "build")) / "bench" / program
    if not path.exists():
        pytest.skip(f"{path} is not built")
    done = subprocess.run([path, *map(str, args)], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_programs_that_measure(tmp_path):
    (tmp_path / "text").write_text("some words and some more of them, " * 20)
    common = [tiny("llama-tied"), tmp_path / "text", "--threads", 1, "--repeat", 1, "--depths", "0,200"]
    floors = lines_of("decode_floor", *common, "--decode", 4, "--kv", "f16,f32")
    assert [(r["kv"], r["depth"]) for r in floors] == [("f16", 0), ("f32", 0), ("f16", 200), ("f32", 200)]
    for r in floors:
        assert r["ratio"] == pytest.approx(r["ms"] / r["floor_ms"], rel=0.05) and r["ms"] > 0
        assert r["floor_ms"] == pytest.approx(1e-6 * r["step_bytes"] / r["gb_per_s"], abs=1e-4)
    added = [floors[i + 2]["step_bytes"] - floors[i]["step_bytes"] for i in (0, 1)]
    assert added[1] == 2 * added[0] > 0, "only the KV rows of the tokens grow"
    peaks = lines_of("prefill_peak", *common, "--prefill", 32)
    assert [r["depth"] for r in peaks] == [0, 200]
    for r in peaks:
        assert r["share"] == pytest.approx(r["gops"] / r["peak_gops"], abs=0.01) and r["tps"] > 0
    info = kvasir_json("inspect", tiny("llama-tied"))
    weights = sum(math.prod(t["shape"]) for t in info["tensors"] if t["name"].startswith("blk.") and len(t["shape"]) > 1)
    assert peaks[0]["gops"] == pytest.approx(2e-9 * weights * peaks[0]["tps"], abs=0.01)
    rows = lines_of("depth", *common, "--prefill", 16, "--decode", 2)
    assert [(r["test"], r["depth"]) for r in rows] == [("prefill", 0), ("decode", 0), ("prefill", 200), ("decode", 200)]
