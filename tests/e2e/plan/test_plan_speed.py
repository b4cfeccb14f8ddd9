"""The speed in a plan: from a profile's limits, from kernels, corrected by a sweep; nothing here is timed."""
import json
import re

import pytest

from conftest import kvasir, kvasir_json, tiny
from shapes import PLAN, check

LLAMA = tiny("llama-tied")
DEPTHS = "0,128,512"


def profile(tmp_path, factor=1.0, kernels=(), name="m.json", **more):
    document = {"schema": "kvasir.probe/1", "name": "made up", "cores": 4, "memory_bytes": "8 GiB",
                "teams": [{"threads": 4, "level": "avx2", "read_bytes_per_s": 50e9 * factor, "int8_ops_per_s": 8e11 * factor,
                           "f32_ops_per_s": 2e11 * factor, "barrier_s": 1e-6 / factor}], **more}
    if kernels:
        document["kernels"] = [{"name": n, "unit": "B/s", "level": "avx2", "threads": 4, "rate": r} for n, r in kernels]
    path = tmp_path / name
    path.write_text(json.dumps(document))
    return path


def speed(machine, *args, kv="f16", **options):
    document = kvasir_json("plan", LLAMA, "--machine", machine, "--kv", kv, "--ctx", "1K", "--depths", DEPTHS, *args, **options)
    check(document, PLAN)
    return {(r["kv"], r["depth"]): r for r in document["speed"]}


def test_rows(tmp_path):
    rows = speed(profile(tmp_path))
    assert {kv for kv, _ in rows} == {"f16", "q8", "q4"} and {d for _, d in rows} == {0, 128, 512}
    for r in rows.values():
        assert r["decode_tps"]["basis"] == "machine" and r["floor_ms"] > 0
        for field in ("decode_tps", "prefill_s", "batch_tps"):
            assert r[field]["lo"] <= r[field]["est"] <= r[field]["hi"]
    assert rows["f16", 0]["decode_tps"]["est"] > rows["f16", 512]["decode_tps"]["est"]
    assert rows["f16", 0]["prefill_s"]["est"] == 0 < rows["f16", 128]["prefill_s"]["est"] < rows["f16", 512]["prefill_s"]["est"]
    twice = profile(tmp_path, 2.0, name="twice.json")
    for threads, least in (("1", 1.999), ("4", 1.1)):  # a team's threads also cost each other what no rate makes shorter
        slow, fast = (speed(m, "--threads", threads) for m in (profile(tmp_path), twice))
        for key, r in slow.items():
            assert least < fast[key]["decode_tps"]["est"] / r["decode_tps"]["est"] < 2.001
            assert least < fast[key]["batch_tps"]["est"] / r["batch_tps"]["est"] < 2.001


def test_text(tmp_path):
    text = kvasir("plan", LLAMA, "--machine", profile(tmp_path), "--ctx", "1K", "--depths", "0,512").stdout.decode()
    assert "speed with f16 on made up, from the machine's limits alone" in text and "first token after" in text
    assert len(re.findall(r"^ +\d+  [\d.]+ \[[\d.]+, [\d.]+\] +\d+  [\d.]+ [mu]?s \[[\d.]+ [mu]?s, [\d.]+ [mu]?s\]$", text, re.M)) == 2
    disk = profile(tmp_path, name="disk.json", disk_bytes_per_s="1 GB/s")
    text = kvasir("plan", LLAMA, "--machine", disk, "--ctx", "1K", "--budget", "200M").stdout.decode()
    assert "comes from the disk" in text


def test_machine_gives_memory_and_threads(tmp_path):
    document = kvasir_json("plan", LLAMA, "--machine", profile(tmp_path), "--ctx", "1K")
    assert document["budget_bytes"] == pytest.approx(0.9 * 8 * 2**30, rel=1e-6) and document["chosen"]["threads"] == 4
    document = kvasir_json("plan", LLAMA, "--machine", profile(tmp_path), "--ctx", "1K", "--budget", "1G", "--threads", 2)
    assert document["budget_bytes"] == 2**30 and document["chosen"]["threads"] == 2


def test_gpu_layers(tmp_path):
    layers = kvasir_json("inspect", LLAMA)["layers"]

    def given(memory):
        gpu = [{"name": "g", "memory_bytes": memory}]
        document = kvasir_json("plan", LLAMA, "--machine", profile(tmp_path, gpus=gpu), "--ctx", "1K", "--for", "llama.cpp")
        args = document["peer"]["args"]
        assert int(args[args.index("-ngl") + 1]) == document["peer"]["gpu_layers"]
        return document["peer"]["gpu_layers"]
    assert given("8 GiB") == layers + 1
    assert given("512 MiB") == 0
    assert 0 <= given("513 MiB") <= layers + 1
    assert kvasir_json("plan", LLAMA, "--machine", profile(tmp_path), "--ctx", "1K", "--for", "llama.cpp")["peer"]["gpu_layers"] == 0


@pytest.mark.parametrize("name", ["rtx-4070-laptop", "rtx-4090", "m4-pro", "epyc-9554-2s"])
def test_shipped_profiles_predict(name):
    document = kvasir_json("plan", LLAMA, "--machine", name, "--ctx", "1K")
    assert document["speed"] and all(r["decode_tps"]["est"] > 0 for r in document["speed"])


def swept(tmp_path, rows, pp=512):
    path = tmp_path / "sweep.json"
    path.write_text(json.dumps({"schema": "kvasir.sweep/1", "options": {"pp": pp}, "rows": rows}))
    return path


def test_sweep_corrects(tmp_path):
    machine = profile(tmp_path)
    rows = speed(machine)
    flat, deep = (1 / rows["f16", d]["decode_tps"]["est"] for d in (0, 512))
    times = {0: 2 * flat, 512: 2 * flat + 3 * (deep - flat)}
    sweep = swept(tmp_path, [{"kv_k": "f16", "kv_v": "f16", "depth": d, "decode_tps": 1 / t,
                              "prefill_tps": rows["f16", d]["batch_tps"]["est"] / 2} for d, t in times.items()])
    better = speed(machine, "--sweep", sweep)
    for d, t in times.items():
        assert better["f16", d]["decode_tps"]["est"] == pytest.approx(1 / t, rel=1e-6)
        assert better["f16", d]["batch_tps"]["est"] == pytest.approx(rows["f16", d]["batch_tps"]["est"] / 2, rel=1e-6)
        assert better["f16", d]["decode_tps"]["basis"] == "sweep"
    between = 2 * flat + 3 * (1 / rows["f16", 128]["decode_tps"]["est"] - flat)
    assert better["f16", 128]["decode_tps"]["est"] == pytest.approx(1 / between, rel=1e-6)
    assert better["q8", 0]["decode_tps"]["est"] == pytest.approx(rows["q8", 0]["decode_tps"]["est"] / 2, rel=1e-6)

    def width(r):
        return r["decode_tps"]["hi"] / r["decode_tps"]["lo"]
    assert width(better["f16", 0]) < width(rows["f16", 0])


def test_a_real_sweep(tmp_path):
    out = tmp_path / "s.json"
    kvasir("sweep", LLAMA, "--depths", "0,128", "--kv", "f16,q8", "--pp", 32, "--tg", 4, "--out", out, "--no-progress")
    rows = speed(profile(tmp_path), "--sweep", out)
    assert all(r["decode_tps"]["basis"] == "sweep" for r in rows.values())


def test_min_tps(tmp_path):
    machine = profile(tmp_path)
    rows = speed(machine)
    fast, slow = rows["f16", 0]["decode_tps"]["est"], rows["f16", 512]["decode_tps"]["est"]
    done = kvasir("plan", LLAMA, "--machine", machine, "--kv", "f16", "--want-ctx", "1K", "--min-tps", (fast + slow) / 2, "--json")
    document = json.loads(done.stdout)
    assert 0 < document["chosen"]["ctx"] < 512 and b"predicted to reach" in done.stderr
    last = document["speed"][-1]
    assert last["depth"] == document["chosen"]["ctx"] - 1
    assert [r for r in document["speed"] if r["kv"] == "f16"][-1]["decode_tps"]["est"] >= (fast + slow) / 2 * 0.999
    done = kvasir("plan", LLAMA, "--machine", machine, "--kv", "f16", "--ctx", "1K", "--min-tps", (fast + slow) / 2)
    assert b"fall below" in done.stderr
    assert b"not reached" in kvasir("plan", LLAMA, "--machine", machine, "--min-tps", 10 * fast, code=4).stderr


def test_bad_input(tmp_path):
    machine = profile(tmp_path)
    assert b"kvasir.sweep/1" in kvasir("plan", LLAMA, "--machine", machine, "--sweep", machine, code=2).stderr
    assert b"no row" in kvasir("plan", LLAMA, "--machine", machine, "--sweep", swept(tmp_path, []), code=2).stderr
    assert b"options.pp" in kvasir("plan", LLAMA, "--machine", machine, "--sweep", swept(tmp_path, [], pp="x"), code=2).stderr
    assert kvasir("plan", LLAMA, "--machine", machine, "--depths", "1,x", code=2).stderr
    assert kvasir("plan", LLAMA, "--machine", machine, "--depths", ",".join("1" * 40), code=2).stderr
    assert kvasir("plan", LLAMA, "--machine", "no-such-machine", code=2).stderr
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "none")}
    assert b"kvasir probe" in kvasir("plan", LLAMA, "--min-tps", 5, code=1, **home).stderr
    assert b"first token" not in kvasir("plan", LLAMA, "--ctx", "1K", **home).stdout
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps({"schema": "kvasir.probe/1", "name": "bare", "cores": 1, "memory_bytes": "8 GiB", "teams": [
        {"threads": 1, "level": "avx2", "read_bytes_per_s": "10 GB/s"}]}))
    assert b"f32_ops_per_s" in kvasir("plan", LLAMA, "--machine", bare, "--ctx", "1K").stdout
