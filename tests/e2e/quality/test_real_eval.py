"""Real models against llama.cpp's figures (shared/fixtures/real, its README says how they were made): perplexity chunk by
chunk, answers that lie far back in the prompt, and what KV types cost beside llama.cpp's.

Without KVASIR_TEST_ALL=1 only the smallest model reads, and only two chunks."""
import array
import hashlib
import json
import os
from pathlib import Path

import pytest

from conftest import SHORT, data, kvasir_json, real_model

ALL = bool(os.environ.get("KVASIR_TEST_ALL"))
LONG = pytest.mark.skipif(not ALL, reason="takes minutes: KVASIR_TEST_ALL=1")
HOUR = 3600  # sanitizers and busy machines are slow; nothing here measures time
PPL_TOLERANCE = 0.01


def reference(name):
    path = data(f"real/{name}.json")
    return json.loads(path.read_text()) if path else None


def flag(command, name):
    words = command.split()
    return words[words.index(name) + 1]


def perplexities():
    """A case for each run of the reference: the row and how many of its chunks to read."""
    for row in reference("ppl"):
        ctx, chunks = int(flag(row["command"], "-c")), int(flag(row["command"], "--chunks"))
        name = f"{row['model'].split('-')[0]}-{ctx}"
        if row["model"].startswith("smollm2"):
            yield pytest.param(row, ctx, 2, id=f"{name}-short")
        yield pytest.param(row, ctx, chunks, id=name, marks=LONG)


@pytest.mark.parametrize("row, ctx, chunks", perplexities())
def test_perplexity(row, ctx, chunks):
    text = data("real/" + flag(row["command"], "-f"))
    document = kvasir_json("eval", real_model(row["model"]), "--ppl", text, "--ctx", ctx, "--chunks", chunks,
                           "--kv", flag(row["command"], "-ctk"), timeout=HOUR)
    assert document["chunks"] == chunks and document["tokens"] == chunks * (ctx - 1 - ctx // 2)
    # One figure after each chunk; the last is the result.
    assert document["chunk_ppl"] == pytest.approx(row["chunk_ppl"][:chunks], rel=PPL_TOLERANCE)
    assert document["ppl"] == pytest.approx(document["chunk_ppl"][-1], rel=1e-9)


@pytest.mark.skipif(SHORT, reason="sanitizers are slow, and see no bits")
@pytest.mark.parametrize("kv", ["f16", "q8", "q4"])
def test_levels_agree(smollm, kv):
    """Every CPU level computes the same bits. What small cases miss, since it is rare, a real text brings out."""
    if "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("has only one level")
    text = data("real/ppl.txt")
    best, lower = (kvasir_json("eval", smollm, "--ppl", text, "--ctx", 512, "--chunks", 2, "--kv", kv, "--cpu", cpu, timeout=HOUR)
                   for cpu in ("auto", "avx2"))
    assert best["chunk_ppl"] == lower["chunk_ppl"]


def needles():
    """The prompts that the reference answered, and longer ones: how far back is it still found?"""
    fixture = reference("needle")
    for case in fixture["cases"] if fixture else []:
        for kv in ("f16", "q8"):
            yield pytest.param(fixture, case, kv, id=f"{case['size']}-{case['depth']}%-{kv}", marks=LONG)


def needle_prompt(fixture, case):
    at, begin = case["insert_at"], case["offset"]
    text = data("real/" + case["file"]).read_bytes()[begin:begin + case["bytes"]]
    body = text[:at].decode() + case["needle"] + "\n" + text[at:].decode()
    return fixture["chat_before"] + fixture["intro"] + body + "\n" + case["question"] + fixture["chat_after"]


@pytest.mark.parametrize("fixture, case, kv", needles())
def test_needle(fixture, case, kv, tmp_path):
    model = real_model(fixture["model"])
    prompt = tmp_path / "prompt.txt"
    prompt.write_text(needle_prompt(fixture, case))
    ids = kvasir_json("tokenize", model, "-f", prompt)["ids"]
    assert len(ids) == case["n_prompt"]
    assert hashlib.sha256(array.array("i", ids).tobytes()).hexdigest() == case["ids_sha256"]
    document = kvasir_json("run", model, "--raw", "-f", prompt, "-n", 24, "--temp", 0, "--kv", kv, "--special",
                           "-c", case["n_prompt"] + 32, timeout=HOUR)
    assert document["prompt_tokens"] == case["n_prompt"] and document["kv"]["type_k"] == kv
    if case.get("peer", {"right": True})["right"]:
        assert case["answer"] in document["text"]


# Mean divergence from f16: how much of llama.cpp's with the named type is allowed, or an absolute figure where its own is out
# of hand (its q4_0 loses Qwen2.5's text altogether).
DIVERGENCE = {
    "gemma3-270m-q4_k_m.gguf": {"q8": (0.4, "q8_0"), "q8:q4": (0.7, "q8_0"), "q4": (0.3, "q4_0")},
    "qwen2.5-coder-1.5b-q4_k_m.gguf": {"q8": (0.4, "q8_0"), "q8:q4": (0.7, "q8_0"), "q4": (0.012, None)},
}


@LONG
@pytest.mark.parametrize("model", DIVERGENCE)
def test_divergence(model):
    """All types in one run, on the text and in the chunks of the reference's rows."""
    rows = {row["k"]: row for row in reference("kld") if row["model"] == model and row["k"] == row["v"]}
    command = rows["q8_0"]["command"]
    ctx, chunks = int(flag(command, "-c")), int(flag(command, "--chunks"))
    bounds = DIVERGENCE[model]
    document = kvasir_json("eval", real_model(model), "--kld", data("real/" + flag(command, "-f")), "--ctx", ctx, "--chunks", chunks,
                           "--kv", ",".join(bounds), "--ref-kv", "f16", timeout=HOUR)
    assert document["tokens"] == chunks * (ctx - 1 - ctx // 2)
    assert document["ppl_ref"] == pytest.approx(rows["q8_0"]["ppl_base"][0], rel=PPL_TOLERANCE)
    for got in document["types"]:
        share, peer = bounds[got["kv"]]
        assert got["kld"]["mean"] <= share * (rows[peer]["mean_kld"][0] if peer else 1), got
        if got["kv"] + "_0" in rows:
            assert 100 * got["same_top"] >= rows[got["kv"] + "_0"]["same_top_p_percent"][0], got
