"""Nothing in a file is dropped in silence. The cases were made after public reports: a folder each with the input, run.sh, which
prints what is observed, and what is right (lines in brackets are remarks). All of them lie in shared/fixtures/faults, the
smallest of each kind in tests/golden/faults. Neighbours of the cases are made here."""
import array
import json
import math
import struct
import subprocess
from pathlib import Path

import pytest

import gguf
from conftest import BIN, SOURCE, environment, kvasir, kvasir_json, tiny
from serving import COMPLETIONS, Server

GOLDEN, SHARED = SOURCE / "tests/golden/faults", SOURCE.parent / "shared/fixtures/faults"
CASES = ["eog-html-tag", "keys-gemma3-no-window", "keys-gemma3-pattern", "nan-run", "nan-verify", "tensors-ffn-bias",
         "tensors-nvfp4-scale", "tensors-unknown", "vocab-no-pre", "vocab-pad-out-of-range", "vocab-scores-i32"]


def folder(name):
    for root in (SHARED, GOLDEN):
        if (root / name).exists():
            return root / name
    pytest.skip(f"{name}: its input is not here")


def lines(text):
    return [line.split() for line in text.splitlines() if line.strip() and not line.startswith("(")]


def close(a, b):
    try:
        return math.isclose(float(a), float(b), abs_tol=1e-3)
    except ValueError:
        return a == b


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    case = folder(name)
    done = subprocess.run(["sh", case / "run.sh"], capture_output=True, text=True, timeout=300, env=environment(KVASIR=BIN))
    wanted, got = lines((case / "expected").read_text()), lines(done.stdout)
    same = len(wanted) == len(got) and all(
        len(w) == len(g) and all(close(a, b) for a, b in zip(w, g)) for w, g in zip(wanted, got))
    if name == "tensors-unknown":  # its second line counts what inspect says
        same = got and got[0] == ["exit", "3"]
    assert same, f"{done.stdout}\nwhere this is right:\n{(case / 'expected').read_text()}\n{done.stderr}"


@pytest.mark.parametrize("name", ["tensors-ffn-bias", "tensors-nvfp4-scale"])
def test_logits(name, tmp_path):
    """Every row against an independent forward pass in float64."""
    case, out = folder(name), tmp_path / "got.f32"
    kvasir("eval", case / "model.gguf", "--ids", case / "ids.txt", "--at", "all", "--kv", "f32", "--logits", out)
    want, got = (array.array("f", p.read_bytes()) for p in (case / "expected.f32", out))
    assert len(want) == len(got) and sum((a - b) ** 2 for a, b in zip(want, got)) / sum(a * a for a in want) < 1e-7


# ---- numbers that are none ---------------------------------------------------------------------------------------------------

MODEL = tiny("qwen3-q2_k")
SCALE = {"Q2_K": 80, "F32": 0}  # where a block's scale is


def damaged(tmp_path, tensor, value):
    """The model with one scale, or number, of a tensor set to `value`."""
    t = next(t for t in kvasir_json("inspect", MODEL, "-v")["tensors"] if t["name"] == tensor)
    data = bytearray(Path(MODEL).read_bytes())
    data_at = t["offset"] + SCALE[t["type"]]
    data[data_at:data_at + (4 if t["type"] == "F32" else 2)] = struct.pack("<f" if t["type"] == "F32" else "<e", value)
    path = tmp_path / "damaged.gguf"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("tensor", ["blk.0.attn_q.weight", "blk.0.attn_v.weight", "blk.0.ffn_down.weight", "output_norm.weight",
                                    "blk.0.attn_q_norm.weight", "output.weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_damaged_weights(tensor, value, tmp_path):
    """Wherever it is, and though activations are rounded to integers: never an answer."""
    path = damaged(tmp_path, tensor, value)
    done = kvasir("run", path, "--raw", "-p", "abc", "-n", "2", code=3)
    assert done.stdout == b"" and tensor.encode() in done.stderr and b"not finite" in done.stderr
    assert b"not finite" in kvasir("eval", path, "--ids", "-", input="1 2 3", code=5).stderr


def test_damaged_embedding(tmp_path):
    """Rows of the embedding are read as tokens ask for them: one that is damaged stops what asks for it."""
    path = damaged(tmp_path, "token_embd.weight", float("nan"))
    done = kvasir("eval", path, "--ids", "-", input="3 0 1", code=5)
    assert b"token 1 (id 0) are not finite in its embedding" in done.stderr
    assert kvasir("eval", path, "--ids", "-", input="3 4 1").stdout


def test_activations_that_overflow(tmp_path):
    """Finite weights whose products are not: the layer is named."""
    path = damaged(tmp_path, "blk.0.attn_norm.weight", 3e38)
    done = kvasir("run", path, "--raw", "-p", "abc", "-n", "2", code=3)
    assert done.stdout == b"" and b"not finite" in done.stderr and b"layer 0 of" in done.stderr


# ---- vocabulary and stop texts -----------------------------------------------------------------------------------------------

def test_control_token_as_stop():
    """A control token is not shown; as a stop text it stops all the same, and other texts do not."""
    model = folder("eog-html-tag") / "model.gguf"
    control = next(i for i in range(256, 264) if kvasir("tokenize", model, "--decode", "--hide-special", input=str(i)).stdout.strip() == b"")
    name = kvasir_json("tokenize", model, "--decode", input=str(control))["text"]
    args = ["run", model, "--raw", "-p", "abc", "--temp", "0", "-n", "3", "--ignore-eos", "--logit-bias", f"{control}=100"]
    assert kvasir_json(*args)["ids"] == [control] * 3
    stopped = kvasir_json(*args, "--stop", name)
    assert stopped["ids"] == [control] and stopped["stop_reason"] == "string" and stopped["text"] == ""
    assert kvasir_json(*args, "--stop", name + "x")["ids"] == [control] * 3


@pytest.mark.parametrize("keep", [True, False])
def test_notes_are_shown(keep):
    case = folder("vocab-no-pre")
    document = json.loads(kvasir("inspect", case / "model.gguf", "--json").stdout)
    assert any("tokenizer.ggml.pre" in note for note in document["notes"]) and document["problems"] == []
    args = [] if keep else ["--pre", "gpt-2"]
    done = kvasir("tokenize", case / "model.gguf", *args, "-p", "abc")
    assert (b"is a guess" in done.stderr) == keep


# ---- sampling that the file asks for -----------------------------------------------------------------------------------------

ASKS = {"general.sampling.temp": 0.0, "general.sampling.top_k": 7, "general.sampling.penalty_repeat": 1.5}
SAID = "--temp 0 --top-k 7 --repeat-penalty 1.5"


def answer(path, *options):
    done = kvasir("run", path, "--raw", "-p", "abcabc", "-n", "12", "--json", *options)
    return json.loads(done.stdout)["ids"], done.stderr.decode()


def test_sampling_of_the_file(tmp_path):
    plain, asks = tiny("llama-tied"), gguf.with_keys(tiny("llama-tied"), tmp_path / "asks.gguf", ASKS)
    ids, said = answer(asks, "--seed", "1")
    assert said.count("general.sampling") == 1 and said.count(SAID) == 1
    assert ids == answer(plain, *SAID.split(), "--seed", "1")[0] == answer(asks, "--seed", "2")[0]
    ids, said = answer(asks, "--repeat-penalty", "1", "--temp", "0")
    assert "--top-k 7\n" in said and ids == answer(plain, "--temp", "0")[0] != answer(asks)[0]
    hot = [answer(asks, "--temp", "100", "--seed", str(i))[0] for i in range(3)]
    assert hot == [answer(plain, "--temp", "100", "--top-k", "7", "--repeat-penalty", "1.5", "--seed", str(i))[0] for i in range(3)]
    assert hot[0] != hot[1]
    assert "general.sampling" not in answer(plain)[1]


@pytest.mark.parametrize("key, value, words", [
    ("temp", -1.0, "is -1, not 0 to 100"), ("top_p", float("nan"), "nan, not 0 to 1"), ("xtc_probability", 2.0, "is 2, not 0 to 1"),
    ("mirostat", 2, "Mirostat 2"), ("sequence", "penalties;temperature", "not followed: penalties;temperature")])
def test_sampling_that_cannot_be(key, value, words, tmp_path):
    path = gguf.with_keys(tiny("llama-tied"), tmp_path / "asks.gguf", {f"general.sampling.{key}": value})
    ids, said = answer(path, "--seed", "1")
    assert words in said and ids == answer(tiny("llama-tied"), "--seed", "1")[0]


def test_sampling_of_the_file_in_serve(tmp_path):
    path = gguf.with_keys(tiny("llama-tied"), tmp_path / "asks.gguf", ASKS)
    body = {"prompt": "abcabc", "max_tokens": 12}

    def text(server, **more):
        return server.post(COMPLETIONS, {**body, **more})["choices"][0]["text"]

    with Server(model=path) as asks, Server(*SAID.split()) as plain:
        assert text(asks) == text(asks) == text(plain)
        assert len({text(asks, temperature=50, seed=i) for i in range(3)}) > 1
        assert sum(SAID in line for line in asks.lines) == 1 and not any("general.sampling" in line for line in plain.lines)


def test_two_bos(tmp_path):
    model = gguf.with_keys(tiny("gemma3"), tmp_path / "m.gguf", {"tokenizer.ggml.add_bos_token": True})
    bos = kvasir_json("tokenize", model, "--decode", input=str(kvasir_json("tokenize", model, "-p", "a")["ids"][0]))["text"]
    for command in (["run", model, "--raw", "-n", "1", "-p"], ["tokenize", model, "-p"]):
        assert b"there are two" in kvasir(*command, f"{bos}abc").stderr
        assert b"there are two" not in kvasir(*command, "abc").stderr
    assert b"there are two" not in kvasir("tokenize", model, "--no-bos", "-p", f"{bos}abc").stderr
