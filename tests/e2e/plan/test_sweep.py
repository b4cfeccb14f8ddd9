"""kvasir sweep: rows that agree with what is known otherwise, files in every form, resuming, comparing, errors."""
import csv
import json
import os
import pty
import re
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

import shapes
from conftest import BIN, SHORT, SOURCE, environment, kvasir, kvasir_json, tiny

SMALL = ["--pp", "32", "--tg", "8", "--repeat", "2", "-t", "1"]
SVG = "{http://www.w3.org/2000/svg}"
TYPES = ["f16", "q8"]


def sweep(model, *args, **options):
    document = kvasir_json("sweep", model, *SMALL, *args, **options)
    shapes.check(document, shapes.SWEEP)
    return document


def keys(document):
    return [(r["kv_k"], r["kv_v"], r["depth"]) for r in document["rows"]]


def kv_at(model, kind, depth):
    """Bytes of a sequence of this length, by the library's plan."""
    return kvasir_json("inspect", model, "--ctx", str(depth))["kv_bytes_at_ctx"][kind] if depth else 0


# ---- rows ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["llama-tied", "gemma3"])
def test_document(name):
    """Depths are sorted, types named by their own names; both models fill windows and pages that are not full."""
    model = tiny(name)
    document = sweep(model, "--depths", "300,0,1k,300", "--kv", "f16,q8_0,f16:f16")
    assert document["complete"] and document["options"]["kv"] == TYPES
    assert document["options"]["depths"] == [0, 300, 1024]
    assert keys(document) == [(k, k, d) for k in TYPES for d in (0, 300, 1024)]
    for r in document["rows"]:
        assert r["error"] is None and r["rss_bytes"] > r["kv_bytes"]
        assert min(r["prefill_tps"], r["decode_tps"], r["decode_ms_p50"]) > 0 and r["decode_ms_p95"] >= r["decode_ms_p50"]
        assert r["ttft_ms"] >= 32 / r["prefill_tps"] * 1e3 * 0.999
        assert r["floor_ms"] == pytest.approx(1e3 * r["step_bytes"] / r["read_bytes_per_s"])
        assert r["floor_ratio"] == pytest.approx(r["decode_ms_p50"] / r["floor_ms"])
        assert r["kv_bytes"] == kv_at(model, r["kv_k"], r["depth"])
    assert document["machine"]["threads"] == 1
    info = kvasir_json("inspect", model)
    assert document["model"]["parameters"] == info["parameters"] and document["model"]["architecture"] == info["architecture"]


def test_step_bytes(llama):
    """What depth adds to a step is the pages that it can see."""
    rows = {(r["kv_v"], r["depth"]): r for r in sweep(llama, "--depths", "0,128,1024", "--kv", "f16,f16:f32,q8")["rows"]}
    info = kvasir_json("inspect", llama)

    def pages(kind):
        return sum(s["rows_per_token"] * s["page_bytes"] for s in kvasir_json("inspect", llama, "--kv", kind)["kv_streams"])

    per_page = pages("f16")
    assert info["tensor_bytes"] <= rows["f16", 0]["step_bytes"] < 1.1 * info["tensor_bytes"]
    for depth in (128, 1024):
        assert rows["f16", depth]["step_bytes"] - rows["f16", 0]["step_bytes"] == depth // 64 * per_page
        assert rows["f32", depth]["step_bytes"] - rows["f32", 0]["step_bytes"] == depth // 64 * per_page * 3 // 2
        open_and_closed = per_page + (depth // 64 - 1) * pages("q8")  # page 0 stays as it is
        assert rows["q8", depth]["step_bytes"] - rows["q8", 0]["step_bytes"] == open_and_closed


def test_fingerprint_and_hash(llama, tmp_path):
    (tmp_path / "text").write_text("all the same " * 200)
    same, other = sweep(llama, "--depths", "0"), sweep(tiny("gemma3"), "--depths", "0", "-f", tmp_path / "text")
    again = sweep(llama, "--depths", "64")
    assert same["model"]["fingerprint"] == again["model"]["fingerprint"] != other["model"]["fingerprint"]
    assert same["options"]["text_hash"] == again["options"]["text_hash"] != other["options"]["text_hash"]
    assert same["options"]["text"] is None and other["options"]["text"] == str(tmp_path / "text")


def test_default_depths(llama):
    """The context of 4,096 tokens ends them."""
    assert sweep(llama)["options"]["depths"] == [0, 2048, 4096 - 32]


# ---- text ---------------------------------------------------------------------------------------------------------

def test_table(llama):
    done = kvasir("sweep", llama, *SMALL, "--depths", "0,64,2k", "--kv", "f16,f32")
    head, *lines = done.stdout.decode().splitlines()
    assert head.split()[:3] == ["depth", "KV", "prefill"]
    rows = [line.split() for line in lines[:6]]
    assert [(r[0], r[1]) for r in rows] == [(d, k) for k in ("f16", "f32") for d in ("0", "64", "2,048")]
    assert lines[6] == ""
    for kind, line in zip(("f16", "f32"), lines[7:]):
        found = re.match(rf"decode {kind}  ([▁-█]{{3}})  [\d.]+ t/s at 0, [\d.]+ \(\d+%\) at 2,048$", line)
        assert found, line
    assert "█" in lines[7] + lines[8] and len(lines) == 9
    assert done.stderr == b""


@pytest.mark.skipif(SHORT, reason="long, and run without sanitizers")
def test_repeated_text(llama):
    """The built-in text has an end."""
    n = kvasir_json("tokenize", llama, "-f", SOURCE / "examples/text/genesis.txt")["n"]
    done = kvasir("sweep", llama, *SMALL, "--repeat", "1", "--depths", str(n), "--ctx", "64k")
    assert f"built-in text has {n} tokens and is repeated".encode() in done.stderr and f"{n:,}".encode() in done.stdout


# ---- files --------------------------------------------------------------------------------------------------------

def test_csv(llama, tmp_path):
    document = sweep(llama, "--depths", "0,64", "--csv", tmp_path / "x.csv")
    with open(tmp_path / "x.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    assert list(rows[0]) == list(shapes.ROW)
    for got, wanted in zip(rows, document["rows"], strict=True):
        for key, value in wanted.items():
            if isinstance(value, str):
                assert got[key] == value
            elif value is None:
                assert got[key] == ""
            else:
                assert float(got[key]) == pytest.approx(value, rel=1e-5)


def points(svg):
    """Where points of measured lines are."""
    found = [g.get("transform") for g in svg.iter(SVG + "g") if g.get("class") == "point"]
    return [tuple(map(float, re.fullmatch(r"translate\((\S+) (\S+)\)", t).groups())) for t in found]


def test_svg(llama, tmp_path):
    sweep(llama, "--depths", "0,1k,2k", "--kv", "f16,f32", "--svg", tmp_path / "x.svg")
    svg = ET.parse(tmp_path / "x.svg").getroot()
    assert svg.tag == SVG + "svg"
    width, height = (float(x) for x in svg.get("viewBox").split()[2:])
    found = points(svg)
    assert len(found) == 2 * 2 * 3, "two plots, two types, three depths"
    assert all(0 < x < width and 0 < y < height for x, y in found)
    for line in (found[i:i + 3] for i in range(0, 12, 3)):
        assert line[1][0] - line[0][0] == pytest.approx(line[2][0] - line[1][0], abs=0.2) and line[0][0] < line[1][0]
    shown = [t.text for t in svg.iter(SVG + "text")]
    assert {"f16", "f32", "0", "2k"} <= set(shown) and any("tokens per second" in t for t in shown)


def test_one_point(llama, tmp_path):
    sweep(llama, "--depths", "0", "--svg", tmp_path / "x.svg")
    assert len(points(ET.parse(tmp_path / "x.svg").getroot())) == 2


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self.rows, self.urls, self.classes, self.inside = [], [], [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.inside = tag
        self.classes += [v for k, v in attributes if k == "class"]
        self.urls += [v for k, v in attributes if k in ("src", "href", "data", "action")]

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "td":
            self.cells.append(data)
        if self.inside == "th":
            self.rows.append(data)


def test_html(llama, tmp_path):
    sweep(llama, "--depths", "0,64", "--html", tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text()
    page = Page(text)
    assert page.tags.count("svg") == 2 * 2, "two plots, for wide and for narrow windows"
    assert page.tags.count("table") == 1 and page.tags.count("tr") == 3
    assert page.rows[-2:] == ["0", "64"] and page.cells[0] == "f16" and len(page.cells) == 2 * 11
    assert page.urls == [] and not {"script", "link", "img", "iframe"} & set(page.tags), "it is one file"
    assert "url(" not in text and "@import" not in text and "llama-tied" in text


def test_html_escapes(llama, tmp_path):
    name = tmp_path / "<b>&amp;.txt"
    name.write_text("and " * 300)
    sweep(llama, "--depths", "0", "-f", name, "--html", tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text()
    assert "<b>" not in text and "&lt;b&gt;&amp;amp;.txt" in text


@pytest.mark.parametrize("option", ["--svg", "--html", "--csv", "--out"])
def test_unwritable(option, llama):
    done = kvasir("sweep", llama, *SMALL, "--depths", "0", option, "/no/such/folder/x", code=1)
    assert b"/no/such/folder/x" in done.stderr


# ---- keeping, resuming --------------------------------------------------------------------------------------------

def test_resume_adds_what_is_missing(llama, tmp_path):
    kept = tmp_path / "kept.json"
    first = sweep(llama, "--depths", "0,128", "--out", kept)
    assert json.loads(kept.read_text())["rows"] == first["rows"]
    second = kvasir_json("sweep", llama, "--resume", kept, "--depths", "64", "--kv", "f32", "--csv", tmp_path / "x.csv")
    shapes.check(second, shapes.SWEEP)
    assert keys(second) == [(t, t, d) for t in ("f16", "f32") for d in (0, 64, 128)]
    assert [r for r in second["rows"] if r["kv_k"] == "f16" and r["depth"] != 64] == first["rows"]
    assert second["machine"] == first["machine"] and second["options"]["pp"] == 32
    assert json.loads(kept.read_text())["rows"] == second["rows"], "--resume FILE keeps it in FILE"
    third = kvasir_json("sweep", llama, "--resume", kept, "--out", tmp_path / "other.json")
    assert third["rows"] == second["rows"] and third["complete"]
    assert json.loads((tmp_path / "other.json").read_text())["rows"] == second["rows"]
    assert {p.name for p in tmp_path.iterdir()} == {"kept.json", "other.json", "x.csv"}


@pytest.mark.parametrize("as_json", [False, True])
def test_resume_after_interrupt(as_json, llama, tmp_path):
    """Stopped after the first row; on a machine that is too fast for that with more to do."""
    kept, depths = tmp_path / "kept.json", list(range(0, 2000, 100))
    for repeat in ("10", "40", "100"):
        process = subprocess.Popen([BIN, "sweep", llama, "--depths", ",".join(map(str, depths)), "--pp", "64", "--tg", "250",
                                    "--repeat", repeat, "-t", "1", "--out", kept, "--svg", tmp_path / "x.svg", "--html", tmp_path / "x.html",
                                    *(["--json"] if as_json else [])],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        while not kept.exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        if process.returncode:
            break
        kept.unlink()
    assert process.returncode == 130, err
    part = json.loads(kept.read_text())
    shapes.check(part, shapes.SWEEP)
    n = len(part["rows"])
    assert 1 <= n < len(depths) and not part["complete"]
    if as_json:
        assert json.loads(out)["rows"] == part["rows"]
    else:
        assert len([line for line in out.decode().splitlines() if " f16 " in line and "decode f16" not in line]) == n
    assert b"stopped" in err and b"--resume" in err and f"{n} of {len(depths)} rows".encode() in err
    assert len(points(ET.parse(tmp_path / "x.svg").getroot())) == 2 * n
    assert f"{len(depths) - n} of {len(depths)} rows w" in (tmp_path / "x.html").read_text(), "what is missing is said"
    part["options"]["depths"] = depths[:n + 1]  # the rest would only take time
    kept.write_text(json.dumps(part))
    whole = kvasir_json("sweep", llama, "--resume", kept)
    assert whole["complete"] and len(whole["rows"]) == n + 1 and whole["rows"][:n] == part["rows"]


@pytest.mark.parametrize("args, field", [
    (["--pp", "33"], b"options.pp was 32 and is 33"), (["--tg", "9"], b"options.tg"), (["--repeat", "1"], b"options.repeat"),
    (["-t", "2"], b"machine.threads was 1 and is 2"), (["--cpu", "ref"], b"machine.level"), (["-b", "16"], b"options.chunk"),
    (["-f", "other.txt"], b"options.text_hash"),
])
def test_resume_mismatch(args, field, llama, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.txt").write_text("another text " * 500)
    first = sweep(llama, "--depths", "0", "--out", "kept.json")
    if args == ["--cpu", "ref"] and first["machine"]["level"] == "ref":
        pytest.skip("this machine has no other level")
    before = (tmp_path / "kept.json").read_bytes()
    assert field in kvasir("sweep", llama, "--resume", "kept.json", "--depths", "64", *args, code=2).stderr
    assert (tmp_path / "kept.json").read_bytes() == before


def test_resume_with_another_model_or_file(llama, tmp_path):
    kept = tmp_path / "kept.json"
    document = sweep(llama, "--depths", "0", "--out", kept)
    assert b"model.fingerprint" in kvasir("sweep", tiny("gemma3"), "--resume", kept, code=2).stderr
    kvasir("sweep", llama, "--resume", tmp_path / "absent.json", code=1)
    for broken in ("", "{", "[]", "{}", '{"schema": "kvasir.run/1", "rows": []}', '{"schema": "kvasir.sweep/1"}'):
        kept.write_text(broken)
        done = kvasir("sweep", llama, "--resume", kept, code=2)
        assert b"kept.json" in done.stderr and done.stdout == b""
    for change in ({"rows": [{}]}, {"rows": [3]}, {"options": {**document["options"], "depths": [-1]}},
                   {"options": {**document["options"], "tg": 1 << 30}},
                   {"rows": [{**document["rows"][0], "kv_k": "f16" * 100}]}):
        kept.write_text(json.dumps({**document, **change}))
        kvasir("sweep", llama, "--resume", kept, code=2)


# ---- comparing ----------------------------------------------------------------------------------------------------

def test_compare(llama, tmp_path):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    document = sweep(llama, "--depths", "0,64,128", "--out", a)
    faster = json.loads(json.dumps(document))
    faster["rows"] = faster["rows"][1:]
    faster["machine"]["cpu"] = "Abacus"
    for r in faster["rows"]:
        r["decode_tps"] *= 2
        r["ttft_ms"] /= 4
    b.write_text(json.dumps(faster))
    done = kvasir("sweep", "--compare", a, b, "--json")
    compared = json.loads(done.stdout)
    assert compared["schema"] == "kvasir.sweep-compare/1"
    shapes.check(compared, shapes.SWEEP_COMPARE)
    assert [r["depth"] for r in compared["rows"]] == [64, 128]
    for r in compared["rows"]:
        assert r["decode_tps"]["ratio"] == pytest.approx(2) and r["ttft_ms"]["ratio"] == pytest.approx(0.25)
        assert r["prefill_tps"]["ratio"] == pytest.approx(1) and r["kv_bytes"]["ratio"] == 1
    assert b"machine.cpu differs" in done.stderr and b"Abacus" in done.stderr
    lines = kvasir("sweep", "--compare", a, b).stdout.decode().splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["64", "f16"], ["128", "f16"]] and lines[2].count("2.00") >= 1


def test_compare_refusals(llama, tmp_path):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    document = sweep(llama, "--depths", "0", "--out", a)
    b.write_text(json.dumps({**document, "rows": [{**document["rows"][0], "depth": 1}]}))
    assert b"in common" in kvasir("sweep", "--compare", a, b, code=2).stderr
    kvasir("sweep", "--compare", a, tmp_path / "absent", code=1)
    kvasir("sweep", "--compare", a, llama, code=2)


# ---- errors -------------------------------------------------------------------------------------------------------

def test_depth_beyond_the_context(llama):
    ctx = kvasir_json("inspect", llama)["ctx_train"]
    done = kvasir("sweep", llama, *SMALL, "--depths", f"0,{ctx}", code=4)
    assert str(ctx + 32).encode() in done.stderr and f"holds {ctx}:".encode() in done.stderr and done.stdout == b""
    assert f"possible is {ctx - 32}".encode() in done.stderr
    sweep(llama, "--depths", ctx - 32)
    kvasir("sweep", llama, *SMALL, "--depths", "100", "--ctx", "120", code=4)
    kvasir("sweep", llama, *SMALL, "--ctx", "20", code=4)


def test_unknown_type(llama):
    done = kvasir("sweep", llama, *SMALL, "--kv", "f16,q3", code=2)
    assert b"q3" in done.stderr and b"f16" in done.stderr and done.stdout == b""


def test_text_too_short(llama, tmp_path):
    (tmp_path / "short.txt").write_text("And he said. " * 40)
    n = kvasir_json("tokenize", llama, "-f", tmp_path / "short.txt")["n"]
    done = kvasir("sweep", llama, *SMALL, "--depths", "0,2k", "-f", tmp_path / "short.txt", code=2)
    assert b"short.txt has " in done.stderr and b"need 2080" in done.stderr
    has = int(re.search(rb"has (\d+) tokens", done.stderr).group(1))
    assert n - 1 <= has <= n, "BOS counts, EOS does not"
    kvasir("sweep", llama, *SMALL, "--depths", "0", "-f", tmp_path / "absent.txt", code=1)
    (tmp_path / "empty.txt").write_text("")
    kvasir("sweep", llama, *SMALL, "--depths", "0", "-f", tmp_path / "empty.txt", code=2)


def test_no_memory_for_a_depth(llama, tmp_path):
    """The budget of 256 KiB holds 512 tokens of f16: that row says so, and the others are measured."""
    args = ["--depths", "0,128,2k", "--kv-memory", "256K"]
    document = sweep(llama, *args, "--csv", tmp_path / "x.csv", "--html", tmp_path / "x.html", "--out", tmp_path / "kept.json")
    good, bad = document["rows"][:2], document["rows"][2]
    assert document["complete"] and all(r["error"] is None and r["decode_tps"] > 0 for r in good)
    assert "2080 tokens" in bad["error"] and bad["decode_tps"] is None and bad["kv_bytes"] is None
    with open(tmp_path / "x.csv", newline="") as f:
        assert list(csv.DictReader(f))[2]["error"] == bad["error"]
    assert bad["error"] in (tmp_path / "x.html").read_text()
    done = kvasir("sweep", llama, *SMALL, *args)
    assert bad["error"] in done.stdout.decode() and b"1 of 3 rows" in done.stderr
    again = kvasir_json("sweep", llama, "--resume", tmp_path / "kept.json")
    assert again["rows"][:2] == good and again["rows"][2]["error"] is None, "with more memory it is tried again"


def test_no_memory_at_all(llama):
    done = kvasir("sweep", llama, *SMALL, "--depths", "2k", "--kv-memory", "256K", code=4)
    assert b"1 of 1 rows" in done.stderr


# ---- progress -----------------------------------------------------------------------------------------------------

def shown_at_terminal(*args):
    master, slave = pty.openpty()
    process = subprocess.Popen([BIN, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave,
                               env=environment(TERM="xterm"))
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    assert process.wait() == 0
    return shown


def test_progress(llama):
    """What is being done, and the time left for all of it; what is over at once shows nothing."""
    for repeat in ("5", "30", "100"):
        shown = shown_at_terminal("sweep", llama, "--depths", "64", "--pp", "32", "--tg", "2000", "--repeat", repeat, "-t", "1")
        if shown:
            break
    assert re.search(rb"f16, depth 64, decode: [\d,]+ of [\d,]+ tokens \(\d+%\)", shown), shown
    assert re.search(rb"whole sweep: [\w ]+ left", shown)
    assert shown_at_terminal("sweep", llama, *SMALL, "--depths", "0", "--no-progress") == b""
