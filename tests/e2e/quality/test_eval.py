import array
import json
import math

import pytest

import shapes
from conftest import data, kvasir, kvasir_json, model_case, tiny
from shapes import check

OTHER = "f32"  # a KV type that is not the default
NAMES = ["llama-tied", "gemma3", "qwen3-q2_k"]


def floats(path):
    return array.array("f", path.read_bytes())


def nmse(reference, got):
    assert len(reference) == len(got)
    return sum((a - b) ** 2 for a, b in zip(reference, got)) / sum(a * a for a in reference)


def logits(tmp_path, name, *args, ids=None, out="out.f32"):
    """The document and the rows for a prompt of a tiny model."""
    ids = model_case(name)["prompt"] if ids is None else ids
    document = kvasir_json("eval", tiny(name), "--ids", "-", "--logits", tmp_path / out, *args, input=json.dumps(ids))
    rows = floats(tmp_path / out)
    assert len(rows) == len(document["rows"]) * document["n_vocab"]
    return document, rows


@pytest.mark.parametrize("name", ["llama-tied", "gemma3"])
def test_reference_greedy_steps(name, tmp_path):
    """Positions and greedy steps against the reference engine's rows."""
    case = model_case(name)
    at = ",".join(map(str, case["positions"]))
    document, rows = logits(tmp_path, name, "--at", at, "--greedy", len(case["decode"]), "--kv", "f32")
    check(document, shapes.LOGITS)
    assert document["greedy"] == case["decode"]
    length = len(case["prompt"])
    assert [r["position"] for r in document["rows"]] == case["positions"] + list(range(length, length + len(case["decode"])))
    assert nmse(floats(data(f"models/{name}.logits.f32")), rows) < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_reference_logits(name, tmp_path):
    """The reference's greedy tokens given as ids; with quantised weights they are another model's choices."""
    case = model_case(name)
    ids = case["prompt"] + case["decode"]
    at = case["positions"] + list(range(len(case["prompt"]), len(ids)))
    _, rows = logits(tmp_path, name, "--at", ",".join(map(str, at)), "--kv", "f32", ids=ids)
    assert nmse(floats(data(f"models/{name}.logits.f32")), rows) <= (case.get("peer_nmse") or 1e-6)


def test_all_positions_and_any_chunk_are_the_same_bits(tmp_path):
    ids = model_case("gemma3")["prompt"][:150]
    _, whole = logits(tmp_path, "gemma3", "--at", "all", "--kv", OTHER, ids=ids)
    for more in (["--batch", "1"], ["--batch", "37"], ["-t", "1", "--chunk", "7"]):
        _, rows = logits(tmp_path, "gemma3", "--at", "all", "--kv", OTHER, *more, ids=ids)
        assert rows == whole, more
    some = [0, 5, 6, 7, 64, 149]
    document, rows = logits(tmp_path, "gemma3", "--at", ",".join(map(str, some)), "--kv", OTHER, ids=ids)
    n = document["n_vocab"]
    assert [r["position"] for r in document["rows"]] == some
    for i, p in enumerate(some):
        assert rows[i * n:(i + 1) * n] == whole[p * n:(p + 1) * n]


def test_last_position_is_the_default(tmp_path):
    document, rows = logits(tmp_path, "llama-tied")
    assert [r["position"] for r in document["rows"]] == [len(model_case("llama-tied")["prompt"]) - 1]
    row = document["rows"][0]
    assert row["argmax"] == max(range(len(rows)), key=rows.__getitem__)
    assert row["logsumexp"] == pytest.approx(math.log(math.fsum(math.exp(x) for x in rows)), rel=1e-9)


def test_text_output(tmp_path, llama):
    (tmp_path / "ids").write_text("1 2 3")
    lines = kvasir("eval", llama, "--ids", tmp_path / "ids", "--at", "all").stdout.decode().splitlines()
    assert len(lines) == 3 and [int(line.split()[0]) for line in lines] == [0, 1, 2]


@pytest.mark.parametrize("args, code", [
    (["--at", "3,2"], 2), (["--at", "3"], 2), (["--at", "x"], 2), (["--at", "0", "--greedy", "1"], 2), (["--ctx", "2"], 4),
    (["--ctx", "4", "--greedy", "2"], 4), (["--kv", "q3"], 2), (["--kv", "f16:nonsense"], 2), (["-ctk", "nonsense"], 2), (["--cpu", "nonsense"], 2), (["--logits", "/no/such/folder/x"], 1),
])
def test_refusals(args, code, llama):
    done = kvasir("eval", llama, "--ids", "-", *args, input="1 2 3", code=code)
    assert done.stderr.startswith(b"kvasir: ")


def test_ids_outside_the_vocabulary(llama):
    assert b"99999" in kvasir("eval", llama, "--ids", "-", input="1 99999", code=2).stderr
    kvasir("eval", llama, "--ids", "-", input="", code=2)


def test_environment_chooses_the_cpu(llama):
    assert b"nonsense" in kvasir("eval", llama, "--ids", "-", input="1", code=2, KVASIR_CPU="nonsense").stderr
    kvasir("eval", llama, "--ids", "-", "--cpu", "ref", input="1", KVASIR_CPU="nonsense")
    kvasir("eval", llama, "--ids", "-", input="1", KVASIR_CPU="")


# ---- texts --------------------------------------------------------------------------------------------------------

CTX, CHUNKS = 64, 3


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("In the beginning was the word, and the word was long. " * 12)
    return path


def rows_by_hand(tmp_path, name, text, kv):
    """The scored rows of the first chunks and their targets, by way of --ids."""
    info = kvasir_json("inspect", tiny(name))["tokenizer"]
    ids = kvasir_json("tokenize", tiny(name), "--no-special", "-f", text)["ids"]
    if info["adds_eos"]:
        ids.pop()
    result = []
    for c in range(CHUNKS):
        chunk = ids[c * CTX:(c + 1) * CTX]
        if info["adds_bos"]:
            chunk[0] = info["bos"]
        document, rows = logits(tmp_path, name, "--at", "all", "--kv", kv, ids=chunk)
        n = document["n_vocab"]
        result += [(rows[p * n:(p + 1) * n], chunk[p + 1]) for p in range(CTX // 2, CTX - 1)]
    return result


def log_softmax(row):
    top = max(row)
    lse = top + math.log(math.fsum(math.exp(x - top) for x in row))
    return [x - lse for x in row]


@pytest.mark.parametrize("name", ["llama-tied", "gemma3"])
def test_perplexity_by_hand(name, text, tmp_path):
    document = kvasir_json("eval", tiny(name), "--ppl", text, "--ctx", CTX, "--chunks", CHUNKS, "--kv", OTHER)
    check(document, shapes.PPL)
    scored = rows_by_hand(tmp_path, name, text, OTHER)
    nll = math.fsum(-log_softmax(row)[target] for row, target in scored) / len(scored)
    assert document["tokens"] == len(scored) == CHUNKS * (CTX // 2 - 1)
    assert document["nll"] == pytest.approx(nll, rel=1e-9) and document["ppl"] == pytest.approx(math.exp(nll), rel=1e-9)
    assert document["ctx"] == CTX and len(document["chunk_ppl"]) == document["chunks"] == CHUNKS
    assert document["chunk_ppl"][-1] == document["ppl"] and document["kv"] == OTHER


def test_perplexity_is_the_same_for_any_chunk(text, llama):
    ppl = {kvasir_json("eval", llama, "--ppl", text, "-c", CTX, *more)["ppl"] for more in ([], ["-b", "5"], ["-t", "1"])}
    assert len(ppl) == 1


def quantile(values, share):
    values = sorted(values)
    at = share * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (at - low) * (values[high] - values[low])


def test_divergence_by_hand(text, tmp_path):
    name = "gemma3"
    document = kvasir_json("eval", tiny(name), "--kld", text, "--kv", OTHER, "--ref-kv", "f16", "--ctx", CTX, "--chunks", CHUNKS)
    check(document, shapes.KLD)
    reference, measured = rows_by_hand(tmp_path, name, text, "f16"), rows_by_hand(tmp_path, name, text, OTHER)
    klds, same, nll, nll_ref = [], 0, 0, 0
    for (r, target), (m, _) in zip(reference, measured):
        p, q = log_softmax(r), log_softmax(m)
        klds.append(math.fsum(math.exp(a) * (a - b) for a, b in zip(p, q)))
        same += max(range(len(p)), key=p.__getitem__) == max(range(len(q)), key=q.__getitem__)
        nll -= q[target]
        nll_ref -= p[target]
    kld, n = document["kld"], len(klds)
    assert document["tokens"] == n
    assert kld["mean"] == pytest.approx(math.fsum(klds) / n, rel=1e-6, abs=1e-12)
    for key, share in (("median", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1)):
        assert kld[key] == pytest.approx(quantile(klds, share), rel=1e-6, abs=1e-12), key
    assert document["same_top"] == pytest.approx(same / n)
    assert document["ppl"] == pytest.approx(math.exp(nll / n), rel=1e-9)
    assert document["ppl_ref"] == pytest.approx(math.exp(nll_ref / n), rel=1e-9)
    if kld["max"] == 0:
        pytest.fail("another KV type changed nothing at all")


def test_divergence_from_itself_is_nothing(text, llama):
    document = kvasir_json("eval", llama, "--kld", text, "--kv", OTHER, "--ref-kv", OTHER, "-c", CTX)
    assert document["kld"]["max"] == 0 and document["same_top"] == 1 and document["ppl"] == document["ppl_ref"]


@pytest.mark.parametrize("more", [[], ["-b", "5"]])
def test_divergence_of_several_types(text, more):
    """Beside one reference, each type is what it is alone."""
    common = ["eval", tiny("gemma3"), "--kld", text, "-c", CTX, "--chunks", CHUNKS, *more]
    types = ["f32", "f16", "f32:f16"]
    together = kvasir_json(*common, "--kv", ",".join(types))
    check(together, shapes.KLD)
    assert [t["kv"] for t in together["types"]] == types
    for row in together["types"]:
        alone = kvasir_json(*common, "--kv", row["kv"])
        assert {k: alone[k] for k in row} == row == alone["types"][0] and alone["ppl_ref"] == together["ppl_ref"]
    assert {k: together[k] for k in row} == together["types"][0]
    assert together["types"][1]["kld"]["max"] == 0 < together["types"][2]["kld"]["max"] < together["types"][0]["kld"]["max"] * 10
    shown = kvasir(*common, "--kv", ",".join(types)).stdout.decode()
    assert shown.count("divergence") == 3 and shown.index("KV f32 ") < shown.index("KV f16 ") < shown.index("KV f32:f16 ")


@pytest.mark.parametrize("args", [["--ppl", "-", "--kv", "f16,f32"], ["--kld", "-", "--kv", "f16,,f32"], ["--kld", "-", "--kv", "f16,"],
                                  ["--kld", "-", "--kv", "f16,q3"], ["--kld", "-", "--kv", ",".join(["f16"] * 9)],
                                  ["--kld", "-", "--kv", "f16,f32", "-ctk", "f32"], ["--ids", "-", "--kv", "f16,f32"]])
def test_lists_of_types_that_cannot_be(args, llama):
    assert kvasir("eval", llama, *args, input="1 2 3", code=2).stderr.startswith(b"kvasir: ")


def test_perplexity_of_a_real_model(smollm):
    """The first chunk of the reference's run (shared/fixtures/real)."""
    path = data("real/ppl.json")
    if not path:
        pytest.skip("shared/fixtures/real is not there")
    wanted = next(r for r in json.loads(path.read_text()) if r["model"].startswith("smollm2") and "-c 2048" in r["command"])
    document = kvasir_json("eval", smollm, "--ppl", data("real/ppl.txt"), "--ctx", "2048", "--chunks", "1")
    assert document["ppl"] == pytest.approx(wanted["chunk_ppl"][0], rel=0.01)


def test_text_results(text, llama):
    assert kvasir("eval", llama, "--ppl", text, "-c", CTX).stdout.startswith(b"perplexity ")
    shown = kvasir("eval", llama, "--kld", text, "-c", CTX, "--kv", OTHER).stdout.decode()
    assert "divergence" in shown and "same best" in shown


def test_text_too_short(llama, tmp_path):
    (tmp_path / "short").write_text("short")
    done = kvasir("eval", llama, "--ppl", tmp_path / "short", code=2)
    assert b"2048" in done.stderr and b"--ctx" in done.stderr
    kvasir("eval", llama, "--ppl", tmp_path / "absent", code=1)


def test_kv_memory_too_small(text, llama):
    done = kvasir("eval", llama, "--ppl", text, "-c", "512", "--kv-memory", "4K", code=4)
    assert any(c.isdigit() for c in done.stderr.decode()), "the message has the numbers"
