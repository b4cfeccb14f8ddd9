import re
import signal
import subprocess
import time

from conftest import BIN, environment, kvasir, kvasir_json
from shapes import BENCH, check


def test_document():
    document = kvasir_json("bench", "--seconds", "0.5", "-t", "2", "--cpu", "ref")
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
