"""kvasir probe, and profiles of machines: measured, written by hand, wrong in every way."""
import copy
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from conftest import BIN, SHORT, SOURCE, environment, kvasir, kvasir_json, tiny
from shapes import PROBE, PROBE_LIST, check

SHIPPED = sorted(p.stem for p in (SOURCE / "share/machines").glob("*.json"))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """What a user's folders are after kvasir probe; (the variables, the document)."""
    folder = tmp_path_factory.mktemp("home")
    env = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "XDG_CACHE_HOME": ""}
    return env, kvasir_json("probe", "--seconds", "0.5", "-t", "2", "--force", **env)


def show(path, code=0, **env):
    done = kvasir("probe", "--show", path, code=code, **env)
    return done.stdout.decode(), done.stderr.decode()


# ---- measuring ------------------------------------------------------------------------------------------------------

def test_document(home):
    env, document = home
    check(document, PROBE)
    assert document["cores"] >= 1 and 0 < document["available_bytes"] <= document["memory_bytes"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["date"])
    best = document["teams"][0]["level"]
    assert [t["threads"] for t in document["teams"] if t["level"] == best] == [1, 2]
    for t in document["teams"]:
        assert t["int8_ops_per_s"] > 0 and t["f32_ops_per_s"] > 0
        assert (t["read_bytes_per_s"] is not None) == (t["level"] == best)
        assert (t["barrier_s"] is not None) == (t["level"] == best and t["threads"] > 1)
    assert len({t["level"] for t in document["teams"]}) == 1 or any(t["level"] == "ref" for t in document["teams"])
    names = [k["name"] for k in document["kernels"]]
    assert len(set(names)) == len(names)
    for name in ("gemv Q4_K", "gemm Q8_0", "attention decode q8 d64 cached", "attention prefill q4 d64 q64", "rmsnorm", "quantise"):
        assert name in names
    assert all(k["rate"] > 1e5 and k["unit"] in ("B/s", "op/s", "FLOP/s") for k in document["kernels"])
    assert document["page_cache_bytes_per_s"] > 0


def test_busy_machine(tmp_path):
    """What others use of the cores is seen; the figures are shown and not stored, unless that is wanted. plan says it."""
    out = tmp_path / "m.json"
    spinners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        done = kvasir("probe", "--seconds", "1", "-t", "1", "--out", out, "--json", code=5)
        assert json.loads(done.stdout)["busy_cores"] > 0.1 * json.loads(done.stdout)["cores"]
        assert b"other programs used" in done.stderr and b"--force" in done.stderr and not out.exists()
        done = kvasir("probe", "--seconds", "1", "-t", "1", "--out", out, "--force")
        assert b"stored in" in done.stderr and b"the machine was busy: other programs used" in done.stderr
    finally:
        for process in spinners:
            process.kill()
            process.wait()
    shown = kvasir("plan", tiny("llama-tied"), "--machine", out).stdout.decode()
    date = json.loads(out.read_text())["date"][:10]
    assert f"kvasir probe measured on {date};" in shown and "the machine was busy when it was measured: other programs" in shown


@pytest.mark.parametrize("change, words", [
    ({"spread": 0.4}, "the same differed by 40%"), ({"busy_cores": 1.5}, "other programs used 1.5 of 2 cores"), ({"spread": 0.2, "busy_cores": 0.1}, ""),
    ({"spread": 9, "busy_cores": 2}, "other programs used 2.0 of 2 cores; the same differed by 900%"), ({"slow": 0.5}, "two threads together computed 0.5 times")])
def test_doubt_widens(change, words, tmp_path):
    """The ranges of a plan follow what the profile says of its own measurement."""
    def plan(**more):
        slow = more.pop("slow", 1.8)
        teams = [{"threads": n, "level": "avx2", "read_bytes_per_s": 2e10, "int8_ops_per_s": 1e11 * (slow if n > 1 else 1),
                  "f32_ops_per_s": 1e10, "barrier_s": 1e-6 if n > 1 else None} for n in (1, 2)]
        path = write(tmp_path, {"schema": "kvasir.probe/1", "name": "x", "cores": 2, "memory_bytes": "8 GiB", "teams": teams, **more})
        model = ["plan", tiny("llama-tied"), "--machine", path]
        speed = kvasir_json(*model)["speed"][0]["decode_tps"]
        return kvasir(*model).stdout.decode(), speed["hi"] / speed["lo"]

    plain, width = plan()
    shown, wider = plan(**change)
    assert "busy" not in plain and ("busy" in shown) == bool(words) and words in shown
    assert wider > width * 1.001 or "slow" in change


def test_stored(home):
    """The stored file is the document, beside nothing else; --show reads it."""
    env, document = home
    folder = os.path.join(env["XDG_CONFIG_HOME"], "kvasir")
    assert os.listdir(folder) == ["machine.json"]
    with open(os.path.join(folder, "machine.json")) as f:
        assert json.load(f) == document
    assert os.listdir(os.path.join(env["HOME"], ".cache/kvasir")) == []
    assert kvasir_json("probe", "--show", **env) == document
    table = kvasir("probe", "--show", **env)
    lines = table.stdout.decode().splitlines()
    assert table.stderr == b"" and document["cpu"] in lines[1] and re.match(rf"machine +{re.escape(document['name'])}, measured ", lines[0])
    assert any(re.match(r"gemv Q4_K +2 +\d+\.\d\d GB/s +\S+$", line) for line in lines), lines
    assert any(line.split()[:4] == ["level", "thr", "read", "GB/s"] for line in lines)


def test_home_without_xdg(home, tmp_path):
    """Relative paths in the XDG variables are ignored, as their specification has it."""
    env, document = home
    (tmp_path / ".config/kvasir").mkdir(parents=True)
    (tmp_path / ".config/kvasir/machine.json").write_text(json.dumps(document))
    assert kvasir_json("probe", "--show", HOME=str(tmp_path), XDG_CONFIG_HOME="config") == document


def test_table_and_out(tmp_path):
    out = tmp_path / "mine.json"
    done = kvasir("probe", "--seconds", "0.3", "--force", "-t", "1", "--out", out, "--folder", tmp_path, HOME=str(tmp_path / "none"))
    assert f"stored in {out}".encode() in done.stderr and b"barrier us" in done.stdout
    assert os.listdir(tmp_path) == ["mine.json"]
    document = json.loads(out.read_text())
    check(document, PROBE)
    assert {t["threads"] for t in document["teams"]} == {1}
    assert show(out)[0] == done.stdout.decode()


@pytest.mark.skipif(SHORT, reason="plain C that is instrumented takes minutes")
def test_level(tmp_path):
    document = kvasir_json("probe", "--seconds", "0.3", "--force", "-t", "1", "--cpu", "ref", "--out", tmp_path / "a.json", HOME=str(tmp_path))
    assert {k["level"] for k in document["kernels"]} == {"ref"} and document["teams"][0]["level"] == "ref"


def test_no_cache_folder(tmp_path):
    """Without a place for its file the disk is left out; a folder that was asked for must be there."""
    (tmp_path / "file").touch()
    done = kvasir("probe", "--seconds", "0.2", "--force", "-t", "1", "--json", "--out", tmp_path / "a.json", XDG_CACHE_HOME=str(tmp_path / "file"))
    document = json.loads(done.stdout)
    assert b"the disk is not measured" in done.stderr and document["disk_bytes_per_s"] is None
    done = kvasir("probe", "--seconds", "0.2", "--force", "--out", tmp_path / "b.json", "--folder", tmp_path / "none", code=1)
    assert str(tmp_path / "none").encode() in done.stderr and not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("out", ["none/machine.json", "."])
def test_out_is_tried_first(tmp_path, out):
    done = kvasir("probe", "--seconds", "600", "--out", tmp_path / out, code=1, HOME=str(tmp_path))
    assert str(tmp_path / out).encode() in done.stderr and os.listdir(tmp_path) == []


def test_nowhere_to_store():
    env = {k: v for k, v in environment().items() if k not in ("HOME", "XDG_CONFIG_HOME")}
    done = subprocess.run([BIN, "probe", "--seconds", "600"], capture_output=True, env=env)
    assert done.returncode == 2 and b"HOME" in done.stderr


@pytest.mark.parametrize("after", [0.3, 3])
def test_interrupted(tmp_path, after):
    """While the disk is measured and later: nothing is left, and the old profile stays."""
    out = tmp_path / "machine.json"
    out.write_text("old")
    process = subprocess.Popen([BIN, "probe", "--force", "--seconds", "8", "--out", str(out), "--folder", str(tmp_path)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    time.sleep(after)
    assert os.listdir(tmp_path) == ["machine.json"], "not even while it runs"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert process.returncode == 130 and stdout == b"" and b"stopped" in stderr
    assert os.listdir(tmp_path) == ["machine.json"] and out.read_text() == "old"


@pytest.mark.parametrize("args", [["some.json"], ["--show", "--list"], ["--seconds", "0"], ["--seconds", "nan"], ["-t", "2000"],
                                  ["--show", "a.json", "b.json"], ["--cpu", "6502", "--out", "/dev/shm/x"], ["--show", "rtx-9999"]])
def test_wrong_usage(args):
    done = kvasir("probe", *args, code=2)
    assert done.stdout == b"" and done.stderr.startswith(b"kvasir")


# ---- profiles that come with kvasir ---------------------------------------------------------------------------------

def test_list():
    document = kvasir("probe", "--list", "--json")
    document = json.loads(document.stdout)
    check(document, PROBE_LIST)
    assert document["schema"] == "kvasir.probe-list/1" and len(SHIPPED) >= 4
    assert sorted(m["name"] for m in document["machines"]) == SHIPPED
    lines = kvasir("probe", "--list").stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == [m["name"] for m in document["machines"]]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped(name):
    """Each loads without a word, says where its numbers are from, and is the file in share/machines."""
    done = kvasir("probe", "--show", name, "--json")
    document = json.loads(done.stdout)
    check(document, {**PROBE, "source": [str], "notes": [str]})
    assert done.stderr == b"" and all(s.startswith("http") for s in document["source"]) and document["notes"]
    path = SOURCE / f"share/machines/{name}.json"
    assert json.loads(kvasir("probe", "--show", path, "--json").stdout) == document
    assert show(name) == show(path)


def test_shipped_numbers():
    gpu = {name: kvasir_json("probe", "--show", name)["gpus"] for name in SHIPPED}
    assert (gpu["rtx-4090"][0]["memory_bytes"], gpu["rtx-4090"][0]["read_bytes_per_s"]) == (24 << 30, 1008e9)
    assert (gpu["rtx-4070-laptop"][0]["memory_bytes"], gpu["rtx-4070-laptop"][0]["read_bytes_per_s"]) == (8 << 30, 256e9)
    assert gpu["m4-pro"][0]["unified"] and gpu["m4-pro"][0]["read_bytes_per_s"] == 273e9
    assert gpu["epyc-9554-2s"] == []
    assert kvasir_json("probe", "--show", "epyc-9554-2s")["numa_nodes"] == 2


# ---- profiles written by hand ---------------------------------------------------------------------------------------

SMALL = {
    "schema": "kvasir.probe/1", "name": "a box", "cores": 4, "memory_bytes": "16 GiB",
    "teams": [{"threads": 4, "level": "avx2", "read_bytes_per_s": "40 GB/s"}],
}
FULL = {
    **SMALL, "cpu": "some", "date": "today", "numa_nodes": 1, "cache_bytes": "8 MiB", "available_bytes": "15 GiB",
    "limit_bytes": None, "swap_bytes": "2 GB", "swap_free_bytes": 0, "disk_bytes_per_s": "3.5 GB/s",
    "page_cache_bytes_per_s": 9e9, "busy_cores": 0.1, "spread": 0.02,
    "teams": [{"threads": 4, "level": "avx2", "read_bytes_per_s": "40 GB/s", "int8_ops_per_s": "1.2 TOPS",
               "f32_ops_per_s": "300 GFLOPS", "barrier_s": "2 us"}],
    "kernels": [{"name": "gemv Q4_K", "unit": "B/s", "level": "avx2", "threads": 4, "rate": "35 GB/s"},
                {"name": "gemm Q4_K", "unit": "op/s", "level": "avx2", "threads": 4, "rate": "600 Gop/s"}],
    "gpus": [{"name": "some", "memory_bytes": "12 GiB", "free_bytes": 1, "read_bytes_per_s": "1 TB/s", "link_bytes_per_s": "16 GB/s"}],
}


def write(tmp_path, document):
    path = tmp_path / "hand.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def changed(field, value):
    """FULL with the field at a path like teams.0.threads changed; ... takes it away."""
    document = copy.deepcopy(FULL)
    *path, last = [int(p) if p.isdigit() else p for p in field.split(".")]
    at = document
    for p in path:
        at = at[p]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return document


def test_small(tmp_path):
    """What must be there, and nothing else."""
    document = json.loads(kvasir("probe", "--show", write(tmp_path, SMALL), "--json").stdout)
    check(document, PROBE)
    assert document["memory_bytes"] == 16 << 30 and document["teams"][0]["read_bytes_per_s"] == 40e9
    assert document["disk_bytes_per_s"] is None and document["kernels"] == [] and document["gpus"] == []
    assert "not known" in show(write(tmp_path, SMALL))[0]


def test_units(tmp_path):
    done = kvasir("probe", "--show", write(tmp_path, FULL), "--json")
    document = json.loads(done.stdout)
    assert done.stderr == b""
    assert document["swap_bytes"] == 2 * 10**9 and document["disk_bytes_per_s"] == 3.5e9
    team, kernels, gpu = document["teams"][0], document["kernels"], document["gpus"][0]
    assert (team["int8_ops_per_s"], team["f32_ops_per_s"]) == (1.2e12, 3e11) and team["barrier_s"] == pytest.approx(2e-6)
    assert [k["rate"] for k in kernels] == [35e9, 6e11]
    assert gpu["read_bytes_per_s"] == 1e12 and gpu["free_bytes"] == 1 and gpu["unified"] is False
    again = write(tmp_path, done.stdout.decode())
    assert json.loads(kvasir("probe", "--show", again, "--json").stdout) == document, "what is written is read"


@pytest.mark.parametrize("text,value", [
    ("24GiB", 24 << 30), ("24 GiB ", 24 << 30), (" 1.5e1 GiB", 15 << 30), ("24 GB", 24 * 10**9), ("0.5 TiB", 1 << 39),
    ("17179869184 B", 1 << 34), (1 << 34, 1 << 34), (1.7e10, 17 * 10**9), ("20000000 kB", 20 * 10**9), ("33554432 KiB", 1 << 35), ("1 PiB", 1 << 50), ("1 PB", 10**15)])
def test_sizes(tmp_path, text, value):
    assert json.loads(kvasir("probe", "--show", write(tmp_path, changed("memory_bytes", text)), "--json").stdout)["memory_bytes"] == value


@pytest.mark.parametrize("field,value,says", [
    # missing
    *[(f, v, "missing") for v in (..., None) for f in (
        "name", "cores", "memory_bytes", "teams.0.threads", "teams.0.level", "kernels.0.name", "kernels.0.unit", "kernels.0.rate",
        "kernels.1.threads", "kernels.1.level", "gpus.0.name", "gpus.0.memory_bytes")],
    ("teams", ..., "teams needs"), ("teams", [], "teams needs"), ("teams.0.read_bytes_per_s", ..., "teams needs"),
    # absurd
    ("cores", 0, "1 to 8192"), ("cores", -4, "1 to 8192"), ("cores", 10**12, "1 to 8192"), ("cores", 4.5, "whole number"),
    ("cores", "4", "whole number"), ("cores", True, "whole number"), ("numa_nodes", 0, "1 to 1024"),
    ("teams.0.threads", 0, "1 to 1024"), ("kernels.0.threads", 99999, "1 to 1024"),
    ("memory_bytes", 24, "16.0 MiB to 1.00 PiB"), ("memory_bytes", -1, "16.0 MiB"), ("memory_bytes", "2000 TiB", "1.00 PiB"),
    ("memory_bytes", "-24 GiB", "16.0 MiB"), ("memory_bytes", 1e300, "1.00 PiB"), ("available_bytes", "17 GiB", "more than memory_bytes"),
    ("swap_free_bytes", "3 GB", "more than swap_bytes"), ("gpus.0.free_bytes", "13 GiB", "more than its memory_bytes"),
    ("swap_bytes", -1, "0 B to"), ("limit_bytes", 5, "1.00 MiB"), ("cache_bytes", "2 TiB", "1.00 KiB to 1.00 TiB"),
    ("disk_bytes_per_s", 0, "100 kB/s"), ("disk_bytes_per_s", -3, "100 kB/s"), ("teams.0.read_bytes_per_s", 40, "bytes per second"),
    ("teams.0.read_bytes_per_s", "9999999 TB/s", "1.00 PB/s"), ("teams.0.int8_ops_per_s", 1.2, "1.00 Mop/s"),
    ("teams.0.f32_ops_per_s", 1e30, "operations per second"), ("teams.0.barrier_s", 2, "1.0 ns to 1 s"),
    ("teams.0.barrier_s", "2 s", "1.0 ns to 1 s"), ("kernels.0.rate", 35, "100 kB/s"), ("gpus.0.memory_bytes", 8, "16.0 MiB"),
    # mistyped units
    ("memory_bytes", "24 Gib", "one of the units B, kB"), ("memory_bytes", "24 gb", "one of the units"),
    ("memory_bytes", "24 GB/s", "one of the units"), ("memory_bytes", "24", "its unit is missing"), ("memory_bytes", "GiB", '"24 GiB"'),
    ("memory_bytes", "", '"24 GiB"'), ("memory_bytes", "24,5 GiB", "one of the units"), ("memory_bytes", "nan GiB", "a size"),
    ("memory_bytes", "inf GiB", "a size"), ("memory_bytes", "0x18 GiB", "one of the units"), ("memory_bytes", "1e999 GiB", "1.00 PiB"),
    ("memory_bytes", "1.2.3 GiB", "a size"), ("memory_bytes", "9" * 80 + " GiB", "a size"), ("memory_bytes", [24], "a size"),
    ("memory_bytes", {"GiB": 24}, "a size"), ("memory_bytes", True, "a size"), ("memory_bytes", "24 GiB\x1b[2J", "one of the units"),
    ("disk_bytes_per_s", "3.5 GB", "B/s, kB/s"), ("disk_bytes_per_s", "3.5 Gbit/s", "B/s, kB/s"), ("disk_bytes_per_s", "3.5", "unit is missing"),
    ("teams.0.int8_ops_per_s", "1.2 GB/s", "TOPS"), ("teams.0.int8_ops_per_s", "1.2 Tops", "TOPS"), ("teams.0.barrier_s", "2 min", "ns"),
    ("kernels.0.rate", "35 Gop/s", "GB/s"), ("kernels.1.rate", "600 GB/s", "Gop/s"), ("kernels.0.unit", "GB/s", "B/s, op/s or FLOP/s"),
    # wrong kinds
    ("name", 5, "a text"), ("name", "", "not empty"), ("name", "x" * 96, "95 are possible"), ("name", "a\x1b[31mb", "control characters"),
    ("teams.0.level", "avx3", "avx512vnni"), ("teams.0.level", "a" * 500, "15 are possible"), ("gpus.0.unified", 1, "true or false"),
    ("teams", {}, "a list"), ("teams.0", 5, "an object"), ("gpus", "none", "a list"), ("kernels.1", [], "an object"),
    ("teams", FULL["teams"] * 33, "32 are possible"), ("kernels", FULL["kernels"] * 60, "96 are possible"), ("gpus", FULL["gpus"] * 9, "8 are possible"),
    ("teams", FULL["teams"] * 2, "teams[0] and teams[1] both"), ("kernels", FULL["kernels"] * 2, "kernels[0] and kernels[2] both"),
    ("schema", "kvasir.sweep/1", "kvasir.probe/1"), ("schema", ..., "kvasir.probe/1"), ("schema", 7, "kvasir.probe/1"),
])
def test_bad_field(tmp_path, field, value, says):
    """The message names the file, the field, what it holds and what is possible."""
    path = write(tmp_path, changed(field, value))
    stdout, stderr = show(path, code=2)
    assert stdout == "" and str(path) in stderr and says in stderr, stderr
    assert "\x1b" not in stderr and len(stderr.splitlines()) == 1
    named = re.sub(r"\.(\d+)", r"[\1]", field)
    assert named in stderr or says.split()[0] in ("teams", "teams[0]", "kernels[0]", "kvasir.probe/1"), stderr


@pytest.mark.parametrize("text", [
    "", " ", "nonsense", "[]", "5", "null", "{", '{"schema": "kvasir.probe/1"', "[" * 100000, '{"a":' * 100000, "\x00\x01\x02",
    '{"schema": "kvasir.probe/1", "name": "a", "name": "b"}', '{"schema": "kvasir.probe/1", "cores": 99999999999999999999999}',
    '{"schema": "kvasir.probe/1", "name": "a", "cores": 4, "memory_bytes": NaN}', '{"schema": "kvasir.probe/1", "cores": 1e999}',
    '{"schema": "kvasir.probe/1", "name": "\\u0000"}', '{"schema": "kvasir.probe/1", "name": "\\ud800"}', " " * (2 << 20),
], ids=lambda t: repr(t[:12]))
def test_hostile(tmp_path, text):
    path = write(tmp_path, text)
    stdout, stderr = show(path, code=2)
    assert stdout == "" and str(path) in stderr and len(stderr.splitlines()) == 1


def test_hostile_files(tmp_path):
    (tmp_path / "bytes.json").write_bytes(b'{"schema": "\xff\xfe"}')
    assert "bytes.json" in show(tmp_path / "bytes.json", code=2)[1]
    for path in (tmp_path, tmp_path / "absent.json", "/dev/zero"):
        assert str(path) in show(path, code=1)[1]
    os.mkfifo(tmp_path / "pipe.json")
    assert "pipe.json" in show(tmp_path / "pipe.json", code=1)[1]


def test_unknown_keys_are_named(tmp_path):
    document = changed("teams.0.read_bytes_per_sec", 7)
    document.update(memory="24 GiB", source="a web page", notes=["x"], **{"a\x1b[2J": 1})
    stdout, stderr = show(write(tmp_path, document))
    assert "a box" in stdout and len(stderr.splitlines()) == 3 and "\x1b" not in stderr
    assert "what memory is" in stderr and "what teams[0].read_bytes_per_sec is" in stderr
    stderr = show(write(tmp_path, {**FULL, **{f"k{i}": i for i in range(10000)}}))[1]
    assert len(stderr.splitlines()) == 9 and "and 9992 more" in stderr


# ---- whose profile it is --------------------------------------------------------------------------------------------

def test_none_stored(tmp_path):
    done = kvasir("probe", "--show", code=1, HOME=str(tmp_path), XDG_CONFIG_HOME="")
    assert b"run kvasir probe" in done.stderr and str(tmp_path / ".config/kvasir/machine.json").encode() in done.stderr


@pytest.mark.parametrize("key,value", [("cpu", "Another CPU"), ("cores", 8000)])
def test_stored_of_another_machine(home, tmp_path, key, value):
    env, document = home
    (tmp_path / "kvasir").mkdir()
    (tmp_path / "kvasir/machine.json").write_text(json.dumps({**document, key: value}))
    done = kvasir("probe", "--show", XDG_CONFIG_HOME=str(tmp_path))
    assert b"is of another machine" in done.stderr and str(value).encode() in done.stderr and str(value).encode() in done.stdout
