"""What kvasir verify keeps of the quality of KV types, and what plan and tune make of it."""
import json
from pathlib import Path

import pytest

import shapes
from conftest import SHORT, SOURCE, kvasir, kvasir_json, real_model

WHOLE = ["--steps", "quality", "--ctx", "512", "--depths", "200", "-t", "1"]


@pytest.fixture(scope="module")
def home(tmp_path_factory, llama):
    """Settings in which q8 was measured and holds, and q4 was and fails: the model's weights are random."""
    folder = tmp_path_factory.mktemp("settings")
    for kind, code in (("q8:q8", 0), ("q4", 5), ("q8", 0)):
        kvasir("verify", llama, *WHOLE, "--kv", kind, code=code, XDG_CONFIG_HOME=str(folder))
    return {"XDG_CONFIG_HOME": str(folder)}


def document(home):
    path, = Path(home["XDG_CONFIG_HOME"]).glob("kvasir/quality/*.json")
    return path, json.loads(path.read_text())


def test_kept(home, llama):
    _, d = document(home)
    shapes.check(d, shapes.QUALITY)
    assert d["schema"] == "kvasir.quality/1" and d["model"]["architecture"] == "llama"
    assert [(t["kv"], t["holds"]) for t in d["types"]] == [("q4", False), ("q8", True)], "one for each type, the newest"
    q4, q8 = d["types"]
    assert 0 < q8["kld"] < q4["kld"] and q4["same_top"] < q8["same_top"] <= 1 and q8["ppl_ref"] == q4["ppl_ref"]
    assert q8["depth"] == 512 and 0 < q8["kld_median"] < q8["kld_p999"] and q8["kld_floor"] == 0
    assert q8["tokens"] == 255 and q8["forced"] > 200 and q8["needles_found"] <= q8["needles"] <= 3 and q8["deepest"] == 200


def test_plan_says(home, llama):
    """Both types are shown, and the one that failed is chosen for no budget."""
    plan = kvasir_json("plan", llama, **home)
    shapes.check(plan, shapes.PLAN)
    assert [(q["kv"], q["holds"], q["shipped"]) for q in plan["quality"]] == [("q4", False, False), ("q8", True, False)]
    text = kvasir("plan", llama, **home).stdout.decode()
    assert "FAILS; here" in text and "holds; here" in text and "same best" in text
    small = ["--budget", plan["total_bytes"] - plan["kv_bytes"] + (64 << 20) + plan["kv_bytes"] * 2 // 5]
    without = kvasir_json("plan", llama, *small)
    assert (without["chosen"]["kv_k"], without["chosen"]["kv_v"], without["quality"]) == ("q4", "q4", [])
    chosen = kvasir_json("plan", llama, *small, **home)["chosen"]
    assert (chosen["kv_k"], chosen["kv_v"]) == ("q8", "q4") and chosen["ctx"] < without["chosen"]["ctx"]
    assert "KV in q4 is left out: measured, it costs too much quality" in chosen["why"]
    asked = kvasir("plan", llama, "--kv", "q4", **home)
    assert b"KV in q4 has failed" in asked.stderr, "who asks for it is warned"
    unknown = kvasir("plan", llama, "--kv", "q8:q4", **home).stdout
    assert b"q8:q4  not measured: kvasir verify MODEL --steps quality --kv q8:q4 does" in unknown


def test_tune_leaves_out(home, llama, tmp_path):
    out = tmp_path / "c.json"
    done = kvasir("tune", llama, "--ctx", "700", "--repeat", "1", "-t", "1", "--out", out, **home)
    assert b"left out: kvasir verify found that it costs too much quality" in done.stdout
    config = json.loads(out.read_text())
    assert [m["quality_fails"] for m in config["memory"]] == [False, False, False, True]
    assert "q4" not in [side["kv"] for e in config["evidence"] for side in (e["a"], e["b"])]


def test_quick_is_not_kept(llama, tmp_path):
    kvasir("verify", llama, "--quick", *WHOLE, "--kv", "q8", XDG_CONFIG_HOME=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "kvasir.config/1"}', '{"schema": "kvasir.quality/1", "types": 7}', "",
                                  '{"schema": "kvasir.quality/1", "types": [{"kv": 3}, {"kv": "%s"}, 9]}' % ("q" * 5000)])
def test_bad_file(text, home, llama):
    """A file that says nothing is no reason to fail, and is replaced by the next measurement."""
    path, good = document(home)
    try:
        path.write_text(text)
        done = kvasir("plan", llama, "--json", **home)
        assert json.loads(done.stdout)["quality"] == []
        assert (b"is not used" in done.stderr) == (not text.startswith('{"schema": "kvasir.quality/1"'))
        kvasir("verify", llama, *WHOLE, "--kv", "q8", **home)
        assert [t["kv"] for t in json.loads(path.read_text())["types"]] == ["q8"]
    finally:
        path.write_text(json.dumps(good))


@pytest.mark.parametrize("number", ["kld", "same_top", "ppl", "ppl_ref"])
def test_a_record_without_a_number_is_void(number, home, llama):
    """JSON has no NaN: a null, or a text, where a number must be says nothing, whatever else the record says."""
    path, good = document(home)
    try:
        for value in (None, "NaN"):
            bad = json.loads(json.dumps(good))
            next(t for t in bad["types"] if t["kv"] == "q4")[number] = value
            path.write_text(json.dumps(bad))
            done = kvasir("plan", llama, "--json", **home)
            assert [q["kv"] for q in json.loads(done.stdout)["quality"]] == ["q8"] and b"lacks numbers" in done.stderr
        path.write_text(json.dumps(good).replace('"kld": ', '"kld": NaN, "x": ', 1))
        done = kvasir("plan", llama, "--json", **home)
        assert json.loads(done.stdout)["quality"] == [] and b"is not used" in done.stderr
    finally:
        path.write_text(json.dumps(good))


def test_depths_are_kept_apart(home, llama):
    """The deepest is shown beside the others; a type that fails at any depth is not chosen."""
    path, good = document(home)
    try:
        deep = [{**t, "depth": 30720, "holds": t["kv"] != "q8", "kld": 0.5} for t in good["types"] if t["kv"] == "q8"]
        path.write_text(json.dumps({**good, "types": good["types"] + deep}))
        plan = kvasir_json("plan", llama, **home)
        assert [(q["kv"], q["depth"]) for q in plan["quality"]] == [("q4", 512), ("q8", 512), ("q8", 30720)]
        assert b"  30,720 " in kvasir("plan", llama, **home).stdout
        assert b"(divergence 0.5000)" in kvasir("plan", llama, "--kv", "q8", **home).stderr
        kvasir("verify", llama, *WHOLE, "--kv", "q8", **home)
        assert [(t["kv"], t["depth"]) for t in json.loads(path.read_text())["types"]] == [("q4", 512), ("q8", 30720), ("q8", 512)]
    finally:
        path.write_text(json.dumps(good))


def test_the_depth_follows_the_time(llama, tmp_path):
    """The estimate is said first, and what more time would allow."""
    args = ["verify", llama, "--steps", "quality", "--kv", "q8", "--depths", "200", "-t", "1", "--ctx", "9k"]
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    done = kvasir(*args, "--minutes", "0", **env)
    err = done.stderr.decode()
    assert "quality at a depth of 2,048 tokens: about" in err and "8,192 tokens would take about" in err and "--minutes" in err
    if not SHORT:
        err = kvasir(*args, "--minutes", "10000", **env).stderr.decode()
        assert "quality at a depth of 8,192 tokens: about" in err and "would take" not in err
        path, = tmp_path.glob("kvasir/quality/*.json")
        records = json.loads(path.read_text())["types"]
        assert [(t["depth"], t["tokens"]) for t in records] == [(2048, 2046), (8192, 2047)]


def test_no_folder(llama, tmp_path):
    """Said before anything is measured."""
    (tmp_path / "kvasir").write_text("")
    done = kvasir("verify", llama, *WHOLE, "--kv", "q8", code=1, XDG_CONFIG_HOME=str(tmp_path))
    assert b"kvasir/quality: the folder cannot be made" in done.stderr and done.stdout == b""


@pytest.mark.parametrize("name", ["smollm2-135m-q4_1", "gemma3-270m-q4_k_m", "qwen2.5-coder-1.5b-q4_k_m"])
def test_shipped(name):
    """What comes with the command is whole, is found for its model, and q4 is usable with all of them."""
    d = json.loads((SOURCE / "share/quality" / (name.replace("2.5", "2_5").replace("1.5", "1_5") + ".json")).read_text())
    shapes.check(d, shapes.QUALITY)
    assert {t["kv"] for t in d["types"]} == {"q8", "q8:q4", "q4"} and all(t["holds"] for t in d["types"])
    assert all(t["forced"] == 1000 and t["tokens"] >= 2000 and t["needles_found"] == t["needles"] for t in d["types"])
    plan = kvasir_json("plan", real_model(name + ".gguf"))
    assert {(q["kv"], q["depth"]): q["kld"] for q in plan["quality"]} == {(t["kv"], t["depth"]): t["kld"] for t in d["types"]}
    assert all(q["shipped"] for q in plan["quality"])
