"""kvasir verify: rows that agree with what other commands say, rows that fail, the page, Ctrl-C, wrong input."""
import json
import signal
import subprocess

import pytest

import shapes
from conftest import BIN, environment, kvasir, kvasir_json, tiny
from test_sweep import Page

FAST = ["--quick", "-t", "1"]


def verify(model, *args, **options):
    document = kvasir_json("verify", model, *FAST, *args, **options)
    shapes.check(document, shapes.VERIFY)
    return document


def rows(document, step):
    return {c["name"]: c for c in document["checks"] if c["step"] == step}


def verify_timed(model, *args):
    """A step of two clients is held against two of one client: on a busy machine it may be slower, and no other row."""
    d = verify(model, *args, code=(0, 5))
    assert all(c["name"].startswith("step of two clients") for c in d["checks"] if c["ok"] is False)
    return d


@pytest.mark.parametrize("name", ["llama-tied", "gemma3"])
@pytest.mark.parametrize("kind", ["f16", "q8", "q8:q4"])
def test_kv_and_memory(name, kind):
    """Streams, blocks and weights are what plan says; both models end in pages that are not full."""
    model = tiny(name)
    d = verify(model, "--steps", "kv,memory", "--kv", kind, "--ctx", "1000")
    assert d["ok"] and d["missing"] == [] and d["options"]["steps"] == ["kv", "memory"] and d["options"]["ctx"] == 1000
    plan = kvasir_json("plan", model, "--ctx", "1000", "--kv", kind, "-t", "1")
    kv, memory = rows(d, "kv"), rows(d, "memory")
    streams = [c for n, c in kv.items() if n.startswith("layer")]
    assert [c["measured"] for c in streams] == [s["bytes"] for s in plan["streams"]]
    assert kv["blocks of the pool"]["measured"] == plan["kv_bytes"]
    assert kv["all streams"]["measured"] == sum(s["bytes"] for s in plan["streams"]) <= plan["kv_bytes"]
    assert memory["weights"]["measured"] == plan["weights_bytes"]
    assert memory["workspace"]["measured"] == plan["workspace_bytes"]
    loaded, warm, full = (memory[n]["measured"] for n in memory if n.startswith("resident"))
    assert plan["weights_bytes"] < loaded <= warm <= full + (1 << 20)
    assert all(c["ok"] for c in d["checks"])


def test_speed_without_profile(llama):
    """Measured, and not judged but for what needs no profile."""
    d = verify_timed(llama, "--steps", "speed", "--depths", "100,600")
    speed = rows(d, "speed")
    assert d["machine"]["profile"] is None and d["options"]["depths"] == [100, 600]
    for depth in (100, 600):
        for name in (f"prefill of {depth} tokens", f"decode p50 at {depth}", f"decode p95 at {depth}",
                     f"time to first token, {depth} tokens"):
            assert speed[name]["ok"] is None and speed[name]["predicted"] is None and speed[name]["measured"] > 0
        assert speed[f"decode p95 at {depth}"]["measured"] >= speed[f"decode p50 at {depth}"]["measured"]
    shared, own = speed["KV of two clients at 132, prefix shared"], speed["KV of two clients at 164, nothing shared"]
    plan = kvasir_json("plan", llama, "--ctx", "132", "--users", "2", "--prefix", "100", "--kv", "f16")
    assert shared["measured"] == plan["kv_bytes"] and shared["ok"] and own["ok"] and shared["measured"] < own["measured"]
    for name in ("read from disk since loading", "written to disk, logs included"):
        assert speed[name]["ok"] and speed[name]["predicted"] == 0
    again = speed["second client ready, 100 tokens shared"]
    assert again["measured"] < again["predicted"] and again["ok"]


def profile(tmp_path, level, rate):
    path = tmp_path / "machine.json"
    path.write_text(json.dumps({"schema": "kvasir.probe/1", "name": "made up", "cores": 1, "memory_bytes": "8 GiB", "teams": [
        {"threads": 1, "level": level, "read_bytes_per_s": rate, "int8_ops_per_s": 10 * rate, "f32_ops_per_s": 4 * rate}]}))
    return path


def test_profiles(llama, tmp_path):
    """A profile that promises too much fails and says where; one that promises little holds."""
    args = ["--steps", "speed", "--depths", "256", "--machine"]
    level = verify(llama, "--steps", "kv")["machine"]["level"]
    slow = verify_timed(llama, *args, profile(tmp_path, level, 1e6))
    names = ["prefill of 256 tokens", "time to first token, 256 tokens", "decode p50 at 256", "decode p95 at 256"]
    assert slow["machine"]["profile"] == "made up" and all(rows(slow, "speed")[n]["ok"] is True for n in names)
    path = profile(tmp_path, level, 9e14)
    fast = verify(llama, *args, path, code=5)
    assert not fast["ok"] and all(rows(fast, "speed")[n]["ok"] is False for n in names)
    assert rows(fast, "speed")["decode p50 at 256"]["high"] < rows(fast, "speed")["decode p50 at 256"]["measured"]
    done = kvasir("verify", llama, *FAST, *args, path, code=5)
    for name in names:
        assert f"speed: {name}".encode() in done.stderr
    failed = [line for line in done.stdout.splitlines() if b"FAILED" in line and b"step of two clients" not in line]
    assert len(failed) == done.stderr.count(b"interval") == 4


def test_quality(llama):
    same = rows(verify(llama, "--steps", "quality"), "quality")
    for what in ("mean", "median", "99.9%"):
        assert same[f"divergence from f16 at 512, {what}"]["measured"] == 0
    assert same["same best token as f16"]["measured"] == 1
    assert same["perplexity"]["predicted"] == same["perplexity"]["measured"]
    other = verify(llama, "--steps", "quality", "--kv", "q8", "--depths", "256")
    q = {n.replace("at 320, ", "at 512, "): row for n, row in rows(other, "quality").items()}  # as far as the context goes
    assert 0 < q["divergence from f16 at 512, mean"]["measured"] <= q["divergence from f16 at 512, mean"]["high"] and other["ok"]
    assert 0 <= q["divergence from f16 at 512, median"]["measured"] < q["divergence from f16 at 512, 99.9%"]["measured"]
    floor = q["f16 again, in other pieces: divergence"]
    assert floor["measured"] == floor["high"] == 0 and floor["ok"]
    assert 0 < q["forced decode of 100, divergence"]["measured"]
    assert [n for n in q if n.startswith("needle")] == [f"needle at {p}% of 256" for p in (10, 50, 90)]
    assert all(c["measured"] in (0, 1) and (c["ok"] is None) == (c["predicted"] == 0) for n, c in q.items() if "needle" in n)


def test_quality_fails(llama):
    """Random weights and 4 bits: the type's limit is broken, and the rows are named."""
    done = kvasir("verify", llama, *FAST, "--steps", "quality", "--kv", "q4", code=5)
    assert b"quality: divergence from f16 at 512, mean" in done.stderr and b"rows failed" in done.stderr
    assert b"FAILED" in done.stdout


def test_divergence_is_evals(llama, tmp_path):
    """The same text, the same chunk: the same number as kvasir eval --kld."""
    text = tmp_path / "text"
    text.write_text("In the beginning God created the heaven and the earth. " * 60)
    mine = rows(verify(llama, "--steps", "quality", "--kv", "q8", "--text", text, "--ctx", "512"), "quality")
    theirs = kvasir_json("eval", llama, "--kld", text, "--kv", "q8", "--ctx", "512", "--chunks", "1")
    assert mine["divergence from f16 at 512, mean"]["measured"] == pytest.approx(theirs["kld"]["mean"], rel=1e-6)
    assert mine["perplexity"]["measured"] == pytest.approx(theirs["ppl"], rel=1e-6)
    assert mine["same best token as f16"]["measured"] == pytest.approx(theirs["same_top"])


def test_html(llama, tmp_path):
    page = tmp_path / "x.html"
    d = verify_timed(llama, "--steps", "kv,memory,speed", "--html", page)
    text = page.read_text()
    parsed = Page(text)
    assert parsed.tags.count("svg") == 2 * 3, "three plots, for wide and for narrow windows"
    assert parsed.tags.count("table") == 3 and parsed.tags.count("tr") == 3 + len(d["checks"])
    assert parsed.urls == [] and not {"script", "link", "img", "iframe"} & set(parsed.tags), "it is one file"
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 0 and "url(" not in text
    assert parsed.classes.count("point") >= 2 * (2 + 2 + 3)


def test_interrupt(llama):
    """What was measured is reported, and what is missing is named."""
    process = subprocess.Popen([BIN, "verify", llama, "-t", "1"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment())
    head, first = process.stdout.readline(), process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert head.startswith(b"step") and first.startswith(b"memory   weights")
    assert b"not measured: quality: forced decode" in err and b"needle in" in err


@pytest.mark.parametrize("args, code, words", [
    (["--steps", "kv,spead"], 2, b"spead"), (["--depths", "2k,x"], 2, b"'x'"), (["--depths", "0"], 2, b"'0'"),
    (["--depths", "4090"], 4, b"4090"), (["--kv", "q3"], 2, b"q3"), (["--machine", "/no/such"], 1, b"/no/such"),
    (["--text", "/no/such"], 1, b"/no/such"), (["--ctx", "64"], 4, b"64"), (["--steps", "kv", "--html", "/no/such/x"], 1, b"/no/such/x"),
])
def test_wrong(args, code, words, llama):
    assert words in kvasir("verify", llama, *FAST, *args, code=code).stderr


@pytest.mark.parametrize("text, words", [
    ("{", b"JSON"), ('{"schema": "kvasir.sweep/1"}', b"schema"), ('{"schema": "kvasir.probe/1"}', b"name is missing"),
    ('{"schema": "kvasir.probe/1", "name": "x", "cores": 1, "memory_bytes": 1e10, "teams": [{"level": "avx2"}]}', b"teams[0]"),
    ('{"schema": "kvasir.probe/1", "name": "x", "cores": 1, "memory_bytes": 1e10, "teams": [{"threads": 1, "level": "avx2", '
     '"read_bytes_per_s": 1e10}], "kernels": [{"threads": 1e99}]}', b"kernels[0]"),
])
def test_wrong_profile(text, words, llama, tmp_path):
    (tmp_path / "m.json").write_text(text)
    assert words in kvasir("verify", llama, *FAST, "--steps", "speed", "--machine", tmp_path / "m.json", code=2).stderr


def test_real(smollm):
    d = kvasir_json("verify", smollm, "--quick", "--kv", "q8", "--steps", "kv,memory,quality", "--depths", "1k")
    shapes.check(d, shapes.VERIFY)
    assert d["ok"], [c for c in d["checks"] if c["ok"] is False]
    needles = [c for c in d["checks"] if "needle" in c["name"]]
    assert len(needles) == 3 and any(c["predicted"] == 1 for c in needles)
