import array
import json
import re

import pytest

import gguf
from conftest import kvasir, kvasir_json, model_case, tiny
from shapes import INSPECT, check

NAMES = ["llama-tied", "gemma3", "qwen3-q2_k"]


@pytest.mark.parametrize("name", NAMES)
def test_document(name):
    case, document = model_case(name), kvasir_json("inspect", tiny(name))
    check(document, INSPECT)
    assert document["architecture"] == case["architecture"] and document["problems"] == []
    assert document["file_bytes"] == case["bytes"]
    assert document["tensor_bytes"] == sum(t["bytes"] for t in document["tensors"])
    assert document["tokenizer"]["size"] == case["n_vocab"]
    assert document["layers"] == case["dims"]["layers"] and document["heads_kv"] == case["dims"]["kv"]
    elements = 0
    for tensor in document["tensors"]:
        count = 1
        for d in tensor["shape"]:
            count *= d
        elements += count
    assert document["parameters"] == elements


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kv", ["f16", "q8", "q4"])
def test_kv_bytes_add_up(name, kv):
    document = kvasir_json("inspect", tiny(name), "--kv", kv)
    unbounded = [s for s in document["kv_streams"] if s["window"] == 0]
    rows = sum(s["rows_per_token"] * s["row_bytes"] for s in unbounded)
    # What all streams store for 64 tokens is rounded up to 4096 bytes.
    assert 0 <= document["kv_bytes_per_token"][kv] - rows < 4096 / 64
    assert all(s["type"] == kv for s in document["kv_streams"])


def test_windows():
    document = kvasir_json("inspect", tiny("gemma3"))
    assert document["window"] > 0 and {s["window"] for s in document["kv_streams"]} == {0, document["window"]}


def test_kv_type_aliases():
    names = [s["type"] for s in kvasir_json("inspect", tiny("llama-tied"), "-ctk", "q8_0", "-ctv", "q4_0")["kv_streams"]]
    assert names[:2] == ["q8", "q4"]
    assert [s["type"] for s in kvasir_json("inspect", tiny("llama-tied"), "--kv", "q8:q4")["kv_streams"]] == names
    assert b"q9" in kvasir("inspect", tiny("llama-tied"), "--kv", "q9", code=2).stderr


def test_context_of_the_sizes():
    short = kvasir_json("inspect", tiny("llama-tied"), "--ctx", "1K")
    long = kvasir_json("inspect", tiny("llama-tied"), "--ctx", "2K")
    assert short["ctx"] == 1024 and long["ctx"] == 2048
    assert long["kv_bytes_at_ctx"]["f16"] == pytest.approx(2 * short["kv_bytes_at_ctx"]["f16"], rel=0.05)


def test_text():
    shown = kvasir("inspect", tiny("gemma3")).stdout.decode()
    assert re.search(r"architecture\s+gemma3", shown) and "KV cache" in shown and "F32" in shown
    assert "token_embd.weight" not in shown and "token_embd.weight" in kvasir("inspect", "-v", tiny("gemma3")).stdout.decode()


def test_dump_tensor(tmp_path):
    out = tmp_path / "norm.f32"
    done = kvasir("inspect", tiny("llama-tied"), "--dump-tensor", "output_norm.weight", "--out", out)
    assert done.stdout == b""
    tensor = next(t for t in kvasir_json("inspect", tiny("llama-tied"))["tensors"] if t["name"] == "output_norm.weight")
    assert tensor["type"] == "F32" and out.stat().st_size == 4 * tensor["shape"][0]
    whole = open(tiny("llama-tied"), "rb").read()
    assert whole.count(out.read_bytes()) == 1, "an F32 tensor is written as it stands in the file"


def test_dump_quantised_tensor(tmp_path):
    document = kvasir_json("inspect", tiny("qwen3-q2_k"))
    tensor = next(t for t in document["tensors"] if t["type"] == "Q2_K")
    out = tmp_path / "t.f32"
    kvasir("inspect", tiny("qwen3-q2_k"), "--dump-tensor", tensor["name"], "-o", out)
    values = array.array("f", out.read_bytes())
    assert len(values) == tensor["shape"][0] * tensor["shape"][1]
    # A block of 16 has a scale, an offset and 2-bit numbers: four values at most, the same for the whole block.
    for at in range(0, len(values), 16 * 64):
        block = values[at:at + 16]
        assert len(set(block)) <= 4 and all(abs(v) < 10 for v in block)
    assert len(set(values)) > 100


def test_dump_failures(tmp_path):
    assert b"nonsense" in kvasir("inspect", tiny("llama-tied"), "--dump-tensor", "nonsense", "--out", tmp_path / "x", code=2).stderr
    assert not (tmp_path / "x").exists()
    kvasir("inspect", tiny("llama-tied"), "--dump-tensor", "output_norm.weight", "--out", tmp_path / "no/such/folder", code=1)


# ---- what Kvasir does not know ---------------------------------------------------------------------------------------------

SIZES = ["layers", "embd", "heads", "heads_kv", "head_dim", "ff", "ctx_train", "experts", "experts_used", "window", "ctx"]


def test_unknown_architecture(tmp_path):
    """Its own keys instead of zeros."""
    keys = gguf.header("mystery", block_count=7, ssm__conv_kernel=4, attention__layers=list(range(100)), note="a\x1b[2Jb")
    keys["mysteryx.block_count"] = 99
    path = gguf.write(tmp_path / "m.gguf", keys, [("x", "F32", (4,))], data=True)
    document = kvasir_json("inspect", path)
    check(document, INSPECT)
    assert [document[key] for key in SIZES] == [None] * len(SIZES) and document["tokenizer"]["size"] is None
    assert set(document["kv_bytes_at_ctx"].values()) == {None} and document["metadata"]["mystery.block_count"]["value"] == "7"
    text = kvasir("inspect", path).stdout.decode()
    assert re.search(r"^  its keys      mystery\.\S+ ", text, re.M)
    for line in ("mystery.block_count 7", "mystery.ssm.conv_kernel 4", "mystery.note a\\x1b[2Jb"):
        assert re.search(rf"^  (its keys|        )      {re.escape(line)}$", text, re.M), line
    assert re.search(r"mystery\.attention\.layers 100 x \w+: 0, 1, 2, .*, \.\.\.$", text, re.M) and "mysteryx" not in text
    assert " 0 of width" not in text and " 0 tokens" not in text and "unknown tokens, bos unknown, eos unknown" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("name", ["", "mystery"])
def test_no_keys_of_its_own(tmp_path, name):
    path = gguf.write(tmp_path / "m.gguf", {"general.architecture": name, "some.key": 1}, [("x", "F32", (4,))], data=True)
    assert "layers        unknown" in kvasir("inspect", path).stdout.decode()
    assert kvasir_json("inspect", path)["layers"] is None


def test_keys_that_are_no_utf8(tmp_path):
    path = gguf.write(tmp_path / "m.gguf", gguf.header("mystery", block_count=7), [("x", "F32", (4,))], data=True)
    with open(path, "r+b") as f:
        f.seek(f.read().index(b"mystery.block_count") + len("mystery.block_c"))
        f.write(b"\xff")
    document = json.loads(kvasir("inspect", path, "--json").stdout)
    assert document["metadata"]["mystery.block_c\ufffdunt"]["value"] == "7"
