"""kvasir tune and --config: steps in their order, memory inside the budget, going on, precedence, bad files."""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import shapes
from conftest import BIN, SHORT, environment, kvasir, kvasir_json, tiny

MIB = 1 << 20
STEPS = ["kv", "threads", "chunk", "draft"]

not_short = pytest.mark.skipif(SHORT, reason="long, and run without sanitizers")


def tune(model, out, *args, **options):
    document = kvasir_json("tune", model, "--out", out, "--repeat", "2", *args, **options)
    shapes.check(document, shapes.TUNE)
    assert json.loads(Path(out).read_text()) == {**document["config"], "date": json.loads(Path(out).read_text())["date"]}
    return document


def write(path, **fields):
    path.write_text(json.dumps({"schema": "kvasir.config/1", **fields}))
    return path


# ---- tuning -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["llama-tied", "gemma3"])
def test_steps(name, tmp_path):
    """In their order, each from what the steps before it chose; the result is where they lead."""
    c = tune(tiny(name), tmp_path / "c.json", "--depth", "300")["config"]
    assert c["complete"] and c["depth"] == 300
    steps = [e["step"] for e in c["evidence"]]
    assert steps == sorted(steps, key=STEPS.index) and {"kv", "chunk", "draft"} <= set(steps)
    assert ("threads" in steps) == (c["options"]["threads"] > 1)

    def point(side):
        return tuple(side[k] for k in ("kv", "threads", "chunk", "draft"))

    now = ("f16", c["options"]["threads"], 512, "none")
    for e in c["evidence"]:
        assert point(e["a"]) == now and point(e["b"]) != now
        differs = [k for k, x, y in zip(STEPS, point(e["a"]), point(e["b"])) if x != y]
        assert differs == [e["step"]], "a step changes nothing else"
        assert e["error"] is None and 1 <= e["rounds"] <= 2 and len(e["a"]["job_s"]) == len(e["b"]["job_s"]) == e["rounds"]
        assert e["a_s"] == min(e["a"]["job_s"]) and e["gain"] == pytest.approx(1 - e["b_s"] / e["a_s"])
        assert e["taken"] == (e["gain"] > e["margin"] and 2 * e["wins"] > e["rounds"])
        now = point(e["b"]) if e["taken"] else now
    kv = c["kv_k"] if c["kv_k"] == c["kv_v"] else f"{c['kv_k']}:{c['kv_v']}"
    assert now == (kv, c["threads"], c["chunk"], c["draft"])


def test_text(llama, tmp_path):
    done = kvasir("tune", llama, "--out", tmp_path / "c.json", "--repeat", "1", "-t", "1")
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("Memory: ") and lines[-2].startswith("Chosen: 4,096 tokens, KV ")
    assert f"--config {tmp_path / 'c.json'}" in lines[-1] and done.stderr == b""
    assert not any(line.startswith("  threads") for line in lines), "one thread leaves nothing to choose"


def test_types_that_do_not_fit_are_not_tried(llama, tmp_path):
    """The plan says what each type takes: with less than f16 needs, none of the steps uses f16."""
    whole = tune(llama, tmp_path / "a.json", "--ctx", "4k", "--budget", "128M")["config"]
    sizes = {m["kv"]: m["total_bytes"] for m in whole["memory"]}
    assert sizes["f16"] > sizes["q8"] > sizes["q8:q4"] > sizes["q4"] and all(m["fits"] for m in whole["memory"])
    budget = (sizes["f16"] + sizes["q8"]) // 2 + whole["margin_bytes"]
    small = tune(llama, tmp_path / "b.json", "--ctx", "4k", "--budget", budget)["config"]
    assert [m["kv"] for m in small["memory"] if m["fits"]] == ["q8", "q8:q4", "q4"] and small["ctx"] == 4096
    assert {s["kv"] for e in small["evidence"] for s in (e["a"], e["b"])} <= {"q8", "q8:q4", "q4"}
    chosen = next(m for m in small["memory"] if m["kv"].split(":")[0] == small["kv_k"] and m["kv"].split(":")[-1] == small["kv_v"])
    assert chosen["kv_bytes"] <= small["kv_memory_bytes"], "the pool's budget holds the context"


def test_nothing_fits(llama, tmp_path):
    done = kvasir("tune", llama, "--out", tmp_path / "c.json", "--ctx", "4k", "--budget", "8M", code=4)
    assert b"missing" in done.stderr and not (tmp_path / "c.json").exists()


@not_short
def test_budget_is_kept(smollm, tmp_path):
    """The process never held more than it was allowed to, while larger ones would have been useful."""
    document = tune(smollm, tmp_path / "c.json", "--ctx", "8k", "--budget", "280M", "--reserve", "20M", "--depth", "2k")
    c = document["config"]
    assert document["memory"]["peak_rss_bytes"] <= 260 * MIB
    assert [m["fits"] for m in c["memory"]][0] is False, "f16 would cross the boundary"


# ---- going on -----------------------------------------------------------------------------------------------------

@not_short
def test_interrupted_and_going_on(llama, tmp_path):
    """Stopped after the first comparison: the file is a configuration, and its comparisons are not made again."""
    out = tmp_path / "c.json"
    args = ["tune", llama, "--out", str(out), "--depth", "1k", "--repeat", "20"]
    process = subprocess.Popen([BIN, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    while process.poll() is None:
        try:
            if json.loads(out.read_text())["evidence"]:
                break
        except FileNotFoundError:
            pass
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and b"the same command goes on" in err, err
    part = json.loads(out.read_text())
    shapes.check(part, shapes.CONFIG)
    assert not part["complete"] and 1 <= len(part["evidence"]) < 6
    done = kvasir("run", llama, "--config", out, "-p", "x", "--raw", "-n", "1")
    assert b"not complete" in done.stderr
    done = kvasir(*args, "--json")
    whole = json.loads(done.stdout)["config"]
    assert b"going on behind its" in done.stderr and whole["complete"]
    n = len(part["evidence"])
    assert whole["evidence"][:n] == part["evidence"] and len(whole["evidence"]) > n
    again = json.loads(kvasir(*args, "--json").stdout)["config"]
    assert again["complete"] and again["evidence"][:n] != part["evidence"], "a complete one is measured anew"


def test_another_command_begins_anew(llama, tmp_path):
    out = tmp_path / "c.json"
    c = tune(llama, out, "-t", "1")["config"]
    c["complete"] = False
    out.write_text(json.dumps(c))
    done = kvasir("tune", llama, "--out", out, "--repeat", "1", "-t", "1", "--json")
    assert b"another options" in done.stderr
    assert json.loads(done.stdout)["config"]["evidence"][0] != c["evidence"][0]


def test_other_files_are_not_written_over(llama, tmp_path):
    (tmp_path / "x.json").write_text('{"mine": 1}')
    done = kvasir("tune", llama, "--out", tmp_path / "x.json", code=2)
    assert b"x.json" in done.stderr and (tmp_path / "x.json").read_text() == '{"mine": 1}'


def test_unwritable(llama):
    done = kvasir("tune", llama, "--out", "/no/such/folder/x", code=1)
    assert b"/no/such/folder/x" in done.stderr


@pytest.mark.parametrize("args, code", [(["--ctx", "4k", "--want-ctx", "4k"], 2), (["--depth", "4096"], 4), (["--repeat", "0"], 2),
                                        (["--ctx", "4k", "--depth", "8k"], 4), (["--text", "/no/such/text"], 1)])
def test_wrong_usage(args, code, llama, tmp_path):
    kvasir("tune", llama, "--out", tmp_path / "c.json", *args, code=code)
    assert not (tmp_path / "c.json").exists()


# ---- --config -----------------------------------------------------------------------------------------------------

RUN = ["-p", "x", "--raw", "-n", "4"]


def test_run_reads_it_and_options_win(llama, tmp_path):
    c = write(tmp_path / "c.json", ctx=300, kv_k="q8", kv_v="q4", threads=1, chunk=64, draft="lookup", kv_memory_bytes=MIB)
    got = kvasir_json("run", llama, *RUN, "--config", c)
    assert got["ctx"] == 300 and got["kv"]["bytes_budget"] == MIB
    assert (got["kv"]["type_k"], got["kv"]["type_v"]) == ("q8", "q4")
    got = kvasir_json("run", llama, *RUN, "--config", c, "--ctx", "200", "--kv", "f32", "--kv-memory", "2M")
    assert got["ctx"] == 200 and got["kv"]["type_k"] == got["kv"]["type_v"] == "f32" and got["kv"]["bytes_budget"] == 2 * MIB
    assert kvasir_json("run", llama, *RUN, "--config", c, "-ctk", "f32")["kv"]["type_v"] == "f16"


def test_draft_and_threads(llama, tmp_path):
    c = write(tmp_path / "c.json", threads=1, draft="lookup")
    args = ["run", llama, "-p", "one two one two one two one two", "--raw", "-n", "200", "--temp", "0", "--ignore-eos"]
    assert kvasir_json(*args, "--config", c)["drafted"] > 0 == kvasir_json(*args, "--config", c, "--draft", "none")["drafted"]
    assert b", 1 thread," in kvasir(*args, "--config", c, "-v").stderr


def test_sweep_and_eval_read_it(llama, tmp_path):
    c = write(tmp_path / "c.json", ctx=512, kv_k="q8", kv_v="q8", threads=1, chunk=32)
    small = ["--pp", "16", "--tg", "4", "--repeat", "1"]
    got = kvasir_json("sweep", llama, *small, "--config", c)
    assert got["options"]["kv"] == ["q8"] and got["options"]["chunk"] == 32 and got["machine"]["threads"] == 1
    assert got["options"]["depths"] == [0, 512 - 16]
    assert kvasir_json("sweep", llama, *small, "--config", c, "--kv", "f16", "-b", "8")["options"]["chunk"] == 8
    (tmp_path / "ids").write_text("1 2 3")
    assert kvasir_json("eval", llama, "--ids", tmp_path / "ids", "--config", c)["kv"]["type_k"] == "q8"
    (tmp_path / "text").write_text("so it goes on and on " * 800)
    got = kvasir_json("eval", llama, "--ppl", tmp_path / "text", "--config", c)
    assert got["ctx"] == 2048 and got["kv"] == "q8", "the length of the chunks is the measurement's own"


def test_tuned_runs(llama, tmp_path):
    c = tune(llama, tmp_path / "c.json", "--ctx", "1k", "--budget", "128M")["config"]
    done = kvasir("run", llama, *RUN, "--config", tmp_path / "c.json", "--json")
    got = json.loads(done.stdout)
    assert done.stderr == b"" and got["ctx"] == 1024
    assert got["kv"] | {"bytes_used": 0} == {"type_k": c["kv_k"], "type_v": c["kv_v"], "bytes_used": 0,
                                             "bytes_budget": c["kv_memory_bytes"]}


def test_auto(llama, tmp_path):
    missing = kvasir("run", llama, *RUN, "--config", "auto", code=2, HOME=str(tmp_path), XDG_CONFIG_HOME="")
    assert b"llama-tied.json" in missing.stderr and b"kvasir tune" in missing.stderr
    kvasir("tune", llama, "--repeat", "1", "--ctx", "700", HOME=str(tmp_path), XDG_CONFIG_HOME="")
    assert (tmp_path / ".config/kvasir/tuned/llama-tied.json").exists()
    assert kvasir_json("run", llama, *RUN, "--config", "auto", HOME=str(tmp_path), XDG_CONFIG_HOME="")["ctx"] == 700
    assert kvasir_json("run", llama, *RUN, HOME=str(tmp_path), XDG_CONFIG_HOME="")["ctx"] != 700, "only if it is asked for"
    kvasir("tune", llama, "--repeat", "1", HOME="/nowhere", XDG_CONFIG_HOME=str(tmp_path / "xdg"))
    assert (tmp_path / "xdg/kvasir/tuned/llama-tied.json").exists()


def test_warnings(llama, tmp_path):
    size = os.path.getsize(llama)
    c = write(tmp_path / "c.json", ctx=256, colour="red", model={"path": "/x/other.gguf", "file_bytes": size},
              machine={"cpu": "Z80", "cores": 977})
    err = kvasir("run", llama, *RUN, "--config", c).stderr
    for word in (b"'colour' is not known", b"another model: other.gguf", b"another processor: Z80", b"977 usable cores"):
        assert word in err
    write(c, model={"path": llama, "file_bytes": size + 1})
    assert b"file of %d bytes" % (size + 1) in kvasir("run", llama, *RUN, "--config", c).stderr
    write(c, model={"path": llama, "file_bytes": size})
    assert b"c.json" not in kvasir("run", llama, *RUN, "--config", c).stderr


def test_large_file(llama, tmp_path):
    path = tmp_path / "c.json"
    path.write_bytes(b" " * (16 << 20) + b"{}")
    assert b"c.json has 16.0 MiB: no configuration" in kvasir("run", llama, *RUN, "--config", path, code=2).stderr


@pytest.mark.parametrize("text, says", [
    ("", "is empty, and no configuration"), ("[", "no JSON document"), ("[]", "schema"), ('{"schema": "kvasir.sweep/1"}', "schema"),
    ('{"schema": "kvasir.config/1", "ctx": 1, "ctx": 2}', "no JSON document"), ("\xff\xfe", "no JSON document"),
    ("[" * 100000, "no JSON document"),
    (dict(ctx=0), "ctx"), (dict(ctx=-5), "ctx"), (dict(ctx=1 << 40), "ctx"), (dict(ctx="8k"), "ctx"), (dict(ctx=1.5), "ctx"),
    (dict(threads=100000), "threads"), (dict(chunk=[]), "chunk"), (dict(chunk=20000), "chunk"), (dict(kv_k="q8"), "kv_v"),
    (dict(kv_k="q9", kv_v="q8"), "kv_k"), (dict(kv_k="q8 q4", kv_v="q8"), "kv_k"), (dict(draft="guess"), "draft"),
    (dict(cpu="6502"), "cpu"), (dict(kv_memory_bytes=-1), "kv_memory_bytes"), (dict(kv_memory_bytes=10**30), ""),
])
def test_bad_files(text, says, llama, tmp_path):
    path = tmp_path / "c.json"
    if isinstance(text, dict):
        write(path, **text)
    else:
        path.write_bytes(text.encode("latin-1"))
    for command in (["run", *RUN], ["sweep"], ["eval", "--ppl", path]):
        done = kvasir(command[0], llama, *command[1:], "--config", path, code=2)
        assert done.stdout == b"" and b"c.json" in done.stderr and says.encode() in done.stderr, done.stderr


def test_missing_file(llama):
    assert b"/no/such.json" in kvasir("run", llama, *RUN, "--config", "/no/such.json", code=1).stderr
