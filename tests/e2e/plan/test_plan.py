"""kvasir plan: bytes before loading. Goldens are published numbers and what llama.cpp logged (shared/fixtures)."""
import json
import math
import os
import re

import pytest

import gguf
from conftest import SOURCE, data, kvasir, kvasir_json, real_model, tiny
from shapes import PLAN, PLAN_MANY, PLAN_PEER, check

MIB = 1 << 20
GIB = 1 << 30
RUNNABLE = ["llama-tied", "gemma3", "qwen3-q2_k"]


def plan(*args, **options):
    document = kvasir_json("plan", *args, **options)
    check(document, PLAN_MANY if "models" in document else PLAN)
    return document


def peer(path, ctx, kv, *more):
    table = plan(path, "--ctx", ctx, "--kv", kv, "--for", "llama.cpp", "--budget", "1000G", *more)["peer"]
    check(table, PLAN_PEER)
    return table


def gqa(architecture, layers, heads, kv, dim, embd=None, **keys):
    return gguf.header(architecture, block_count=layers, context_length=1 << 20, embedding_length=embd or heads * dim,
                       attention__head_count=heads, attention__head_count_kv=kv, attention__key_length=dim,
                       attention__value_length=dim, **keys)


# ---- what is published ----------------------------------------------------------------------------------------------

@pytest.fixture
def qwen14(tmp_path):
    return gguf.write(tmp_path / "qwen2.5-14b.gguf", gqa("qwen2", 48, 40, 8, 128))


@pytest.mark.parametrize("ctx,kv,mib", [("32K", "f16", 6144), ("32K", "q8_0", 3264), ("64K", "q8_0", 6528), ("128K", "q4_0", 6912)])
def test_qwen25_14b(qwen14, ctx, kv, mib):
    table = peer(qwen14, ctx, kv)
    assert table["kv_bytes"] == mib * MIB and table["state_bytes"] == 0
    assert table["args"][:2] == ["llama-cli", "-m"] and "-ctk" in table["args"]


def hybrid(layers, heads, kv, inner, groups):
    return gqa("qwen35", layers, heads, kv, 256, embd=4096, ssm__conv_kernel=4, ssm__inner_size=inner, ssm__state_size=128,
               ssm__group_count=groups, ssm__time_step_rank=inner // 128, full_attention_interval=4)


def test_qwen35_9b(tmp_path):
    path = gguf.write(tmp_path / "9b.gguf", hybrid(32, 16, 4, 4096, 16))
    table = peer(path, 131072, "f16")
    assert table["state_bytes"] == 50.25 * MIB and table["kv_bytes"] == (4096 + 50.25) * MIB
    assert table["bytes_per_token"] == 32768
    # "22 MB per 1k tokens" in the papers of that model's users is q8_0 and two scratch buffers of the other program.
    assert peer(path, 131072, "q8_0")["bytes_per_token"] == 17408
    assert plan(path, "--ctx", 131072, "--kv", "f16", "--budget", "1000G")["state_bytes"] == 50.25 * MIB


def test_qwen35_27b(tmp_path):
    table = peer(gguf.write(tmp_path / "27b.gguf", hybrid(64, 24, 4, 6144, 16)), 4096, "f16")
    assert table["state_bytes"] == 149.625 * MIB and table["bytes_per_token"] == 64 << 10


def v4(ratios, **more):
    return gguf.header("deepseek4", block_count=len(ratios), context_length=1 << 20, embedding_length=4096,
                       attention__head_count=64, attention__head_count_kv=1, attention__key_length=512,
                       attention__value_length=512, attention__sliding_window=128, attention__indexer__key_length=128,
                       attention__compress_ratios=ratios, **more)


FLASH = [0, 0] + [4 if i % 2 == 0 else 128 for i in range(2, 43)]
PRO = [128, 128] + [4 if i % 2 == 0 else 128 for i in range(2, 61)]


@pytest.mark.parametrize("name,ratios,rate,gib", [("flash", FLASH, 6880, 6.72), ("pro", PRO, 9848, 9.62)])
def test_deepseek_v4(tmp_path, name, ratios, rate, gib):
    table = peer(gguf.write(tmp_path / f"{name}.gguf", v4(ratios)), "1M", "f16")
    assert table["bytes_per_token"] == rate and round(rate * 2**20 / GIB, 2) == gib
    rows = [b for b in table["buffers"] if not b["state"] and b["name"] != "KV (SWA)"]
    assert sum(b["k_bytes"] for b in rows) == rate << 20
    # Per layer: CSA 64 + 16 KiB of state, HCA 512 KiB; a window of 768 cells everywhere.
    states = {b["name"]: b["k_bytes"] // b["layers"] for b in table["buffers"] if b["state"]}
    assert states == {"CSA compressor": 64 << 10, "HCA compressor": 512 << 10, "indexer compressor": 16 << 10}
    window, = [b for b in table["buffers"] if b["name"] == "KV (SWA)"]
    assert window["cells"] == 768 and window["k_bytes"] == len(ratios) * 768 * 1024
    assert table["kv_bytes"] == (rate << 20) + window["k_bytes"] + table["state_bytes"]


def mla(architecture, layers, **keys):
    return gguf.header(architecture, block_count=layers, context_length=1 << 17, embedding_length=7168, attention__head_count=128,
                       attention__head_count_kv=1, attention__key_length=576, attention__value_length=512,
                       attention__key_length_mla=192, attention__value_length_mla=128, **keys)


def test_mla_and_dsa(tmp_path):
    """61 layers: 1152 bytes a token and layer; with an indexer's 128 elements 85,888 a token in all."""
    path = gguf.write(tmp_path / "v3.gguf", mla("deepseek2", 61))
    assert peer(path, "128K", "f16")["bytes_per_token"] == 61 * 1152
    path = gguf.write(tmp_path / "v32.gguf", mla("deepseek32", 61, attention__indexer__key_length=128))
    assert peer(path, "128K", "f16")["bytes_per_token"] == 85888
    # The last layer predicts further tokens and keeps no rows here.
    path = gguf.write(tmp_path / "v32n.gguf", mla("deepseek32", 62, attention__indexer__key_length=128, nextn_predict_layers=1))
    assert peer(path, "128K", "f16")["bytes_per_token"] == 85888


def test_glm_shares_indexers(tmp_path):
    """Where the file lists indexers, the layers without one keep no rows for it."""
    keys = mla("glm-dsa", 4, attention__indexer__key_length=128)
    assert peer(gguf.write(tmp_path / "all.gguf", keys), 4096, "f16")["bytes_per_token"] == 4 * (1152 + 256)
    tensors = [("blk.0.indexer.proj.weight", "F32", (64, 32))]
    assert peer(gguf.write(tmp_path / "one.gguf", keys, tensors), 4096, "f16")["bytes_per_token"] == 4 * 1152 + 256


# ---- what the reference engine logged ---------------------------------------------------------------------------------

def cases():
    path = data("models/manifest.json")
    return [c for c in json.loads(path.read_text())["cases"] if c.get("memory")]


SIZE = re.compile(r"size = +([\d.]+) MiB \(.*K \([^)]*\): +([\d.]+) MiB, V \([^)]*\): +([\d.]+) MiB")
STATE = re.compile(r"size = +([\d.]+) MiB \(.*R \(f32\): +([\d.]+) MiB, S \(f32\): +([\d.]+) MiB")
COMPRESSOR = re.compile(r"llama_dsv4_comp_state: (\w+) ratio.* size = +([\d.]+) MiB")


def printed(n):
    return f"{n / MIB:.2f}"


@pytest.mark.parametrize("case", cases(), ids=lambda c: c["name"])
def test_reference_tables(case):
    for row in case["memory"]:
        table = peer(tiny(case["name"]), row["n_ctx"], f"{row['type_k']}:{row['type_v']}", "-ub", row["n_ubatch"])
        if "error" in row:
            assert table["error"] and table["kv_bytes"] is None
            continue
        # The sum is one of printed numbers.
        assert abs(table["kv_bytes"] / MIB - row["mib"]) <= 0.005 * len(table["buffers"]) + 0.005, row
        logged = [m.groups()[1:] for line in row["log"] if (m := SIZE.search(line)) and m.group(1) != "0.00"]
        logged += [m.groups()[1:] for line in row["log"] if (m := STATE.search(line))]
        logged += [(m.group(2),) for line in row["log"] if (m := COMPRESSOR.search(line))]
        ours = [(printed(b["k_bytes"]), printed(b["v_bytes"])) for b in table["buffers"] if not b["state"]]
        states = [printed(b["k_bytes"]) for b in table["buffers"] if b["state"]]
        if any("llama_memory_recurrent" in line for line in row["log"]):
            ours.append(tuple(states))
        else:
            ours += [(s,) for s in states]
        assert sorted(ours) == sorted(logged), row


# ---- what the engine allocates ------------------------------------------------------------------------------------------

def filled(path, ctx, kv, *more):
    """A sequence filled to its last token: `run` with as many ids as the context has."""
    n = ctx - 1
    return kvasir_json("run", path, "--raw", "-p", "a" * n, "-n", "4096", "--ignore-eos", "--temp", "0", "--ctx", ctx, "--kv", kv,
                       *more)


@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize("kv", ["f16", "f32", "q8", "q8:q4", "q4", "q4:f16"])
def test_plan_is_the_allocation(name, kv):
    for ctx in (64, 100, 200):
        expected = plan(tiny(name), "--ctx", ctx, "--kv", kv, "-t", "2")
        got = filled(tiny(name), ctx, kv, "-t", "2")
        assert got["stop_reason"] == "context"
        assert expected["weights_bytes"] == got["memory"]["weights_bytes"]
        assert expected["workspace_bytes"] == got["memory"]["workspace_bytes"]
        # The last token that was chosen is not in the cache; with it the sequence has the context's pages.
        full = plan(tiny(name), "--ctx", got["depth"], "--kv", kv, "-t", "2")
        assert full["kv_bytes"] == got["kv"]["bytes_used"], (ctx, got["depth"])
        assert ctx - 1 <= got["depth"] <= ctx


@pytest.mark.parametrize("threads,chunk", [(1, 64), (2, 512), (3, 100)])
def test_workspace(threads, chunk):
    expected = plan(tiny("llama-tied"), "-t", threads, "-b", chunk)
    got = kvasir_json("run", tiny("llama-tied"), "--raw", "-p", "ab", "-n", "1", "-t", threads, "-b", chunk)
    assert expected["workspace_bytes"] == got["memory"]["workspace_bytes"]
    assert expected["chosen"]["threads"] == threads and expected["chosen"]["batch"] == chunk


def parts(document):
    return sum(document[k] or 0 for k in ("weights_bytes", "kv_bytes", "mark_bytes", "state_bytes", "buffer_bytes"))


def test_totals_add_up():
    one, other = plan(tiny("llama-tied"), "--ctx", 1000), plan(tiny("gemma3"), "--ctx", 1000)
    assert one["total_bytes"] == parts(one) + one["program_bytes"]
    both = plan(tiny("llama-tied"), tiny("gemma3"), "--ctx", 1000)
    assert [m["kv_bytes"] for m in both["models"]] == [one["kv_bytes"], other["kv_bytes"]]
    assert both["totals"]["total_bytes"] == sum(map(parts, both["models"])) + both["totals"]["program_bytes"]
    assert one["weights_bytes"] == sum(w["bytes"] for w in one["weights"])


def peak_case(name, ctx, kv):
    path = real_model(name + ".gguf")
    expected = plan(path, "--ctx", ctx, "--kv", kv, "-t", "2")["total_bytes"]
    words = (SOURCE / "examples/text/genesis.txt").read_text() * (ctx // 4000 + 1)
    ids = kvasir_json("tokenize", path, "-p", words)["ids"][:ctx - 40]
    prompt = kvasir("tokenize", path, "--decode", input=json.dumps(ids)).stdout
    got = kvasir_json("run", path, "--raw", "-f", "-", "-n", "4096", "--ignore-eos", "--temp", "0", "--ctx", ctx, "--kv", kv,
                      "-t", "2", input=prompt)
    assert got["depth"] >= ctx - 1
    peak = got["memory"]["peak_rss_bytes"]
    assert abs(peak - expected) <= max(0.01 * expected, 64 * MIB), f"planned {expected / MIB:.0f}, was {peak / MIB:.0f} MiB"


@pytest.mark.parametrize("name,ctx", [("smollm2-135m-q4_1", 2048), ("gemma3-270m-q4_k_m", 2048)])
@pytest.mark.parametrize("kv", ["f16", "q4"])
def test_peak_at_full_context(name, ctx, kv):
    peak_case(name, ctx, kv)


@pytest.mark.skipif(not os.environ.get("KVASIR_TEST_ALL"), reason="takes a minute: KVASIR_TEST_ALL=1")
@pytest.mark.parametrize("name,ctx", [("qwen2.5-coder-1.5b-q4_k_m", 8192), ("smollm2-135m-q4_1", 8192)])
def test_peak_of_larger_models(name, ctx):
    peak_case(name, ctx, "f16")


# ---- users and prefixes --------------------------------------------------------------------------------------------------

def test_users():
    one = plan(tiny("llama-tied"), "--ctx", 1000)
    many = plan(tiny("llama-tied"), "--ctx", 1000, "--users", 5)
    assert many["kv_bytes"] == 5 * one["kv_bytes"] and many["kv_shared_bytes"] == 0
    shared = plan(tiny("llama-tied"), "--ctx", 1000, "--users", 5, "--prefix", 300)
    assert shared["kv_shared_bytes"] == plan(tiny("llama-tied"), "--ctx", 256)["kv_bytes"]  # whole pages of 64
    assert shared["kv_bytes"] == shared["kv_shared_bytes"] + 5 * shared["kv_sequence_bytes"]
    assert shared["kv_sequence_bytes"] + shared["kv_shared_bytes"] == one["kv_bytes"]


def test_users_of_the_peer(qwen14):
    one, four = peer(qwen14, 8192, "f16"), peer(qwen14, 8192, "f16", "--users", 4)
    assert four["kv_bytes"] == 4 * one["kv_bytes"]
    args = four["args"]
    assert args[0] == "llama-server" and args[args.index("-np") + 1] == "4" and args[args.index("-c") + 1] == "32768"


# ---- choosing ------------------------------------------------------------------------------------------------------------

@pytest.fixture
def mid(tmp_path):
    """64 KiB of KV a token in f16, 1 GiB at 16K; no weights to speak of."""
    return gguf.write(tmp_path / "mid.gguf", gqa("qwen3", 16, 16, 8, 128) | {"qwen3.context_length": 16384})


@pytest.mark.parametrize("budget,k,v", [("1200M", "f16", "f16"), ("700M", "q8", "q8"), ("520M", "q8", "q4"), ("400M", "q4", "q4")])
def test_kv_shrinks_step_by_step(mid, budget, k, v):
    document = plan(mid, "--budget", budget)
    assert (document["chosen"]["kv_k"], document["chosen"]["kv_v"], document["chosen"]["ctx"]) == (k, v, 16384)
    assert document["fits"] and document["total_bytes"] + document["margin_bytes"] <= document["budget_bytes"]
    tried = [line for line in document["chosen"]["why"] if line.startswith("KV in")]
    assert len(tried) == ["f16", "q8", "q8:q4", "q4"].index(k if k == v else f"{k}:{v}") + 1
    assert tried[-1].endswith("fits") and all(line.endswith("too much") for line in tried[:-1])


def test_context_shrinks_last(mid):
    document = plan(mid, "--budget", "250M")
    assert document["chosen"]["kv_k"] == document["chosen"]["kv_v"] == "q4" and document["fits"]
    ctx = document["chosen"]["ctx"]
    assert 0 < ctx < 16384 and ctx <= document["max_ctx"]["q4"] < ctx + 256
    assert "shortened" in "".join(document["chosen"]["why"])
    # With what is planned the next larger context would not fit.
    assert not plan(mid, "--budget", "250M", "--ctx", ctx + 512, "--kv", "q4", code=4)["fits"]


def test_reserve_is_taken_off(mid):
    free, less = plan(mid, "--budget", "1200M"), plan(mid, "--budget", "1200M", "--reserve", "500M")
    assert free["chosen"]["kv_k"] == "f16" and less["chosen"]["kv_k"] == "q8"
    assert less["reserve_bytes"] == 500 * MIB


def test_want_ctx(mid):
    assert plan(mid, "--budget", "1200M", "--want-ctx", "4K")["chosen"]["ctx"] == 4096
    wide = plan(mid, "--budget", "1200M", "--want-ctx", "32K")
    assert wide["chosen"]["ctx"] == 32768 and wide["chosen"]["kv_k"] == "q8"


def test_longest_context_is_what_the_engine_takes():
    """max_ctx of a budget: kvasir run takes it for its pool, and not one token more."""
    document = plan(tiny("llama-tied"), "--budget", "128M", "--ctx", 64)
    room = document["budget_bytes"] - document["margin_bytes"] - document["total_bytes"] + document["kv_bytes"]
    for kv, most in document["max_ctx"].items():
        args = [tiny("llama-tied"), "--raw", "-p", "ab", "-n", "1", "--kv", kv, "--kv-memory", str(room)]
        kvasir("run", *args, "--ctx", most)
        kvasir("run", *args, "--ctx", most + 1, code=4)


def test_spill_depth(mid):
    document = plan(mid, "--budget", "1200M", "--ctx", "8K", "--kv", "f16")
    beyond = document["budget_bytes"] - document["total_bytes"] + document["kv_bytes"]
    assert document["spill_depth"] == beyond // (64 << 10) // 64 * 64 > document["max_ctx"]["f16"]


def test_two_models_share(mid, tmp_path):
    small = gguf.write(tmp_path / "small.gguf", gqa("qwen3", 8, 16, 8, 128) | {"qwen3.context_length": 16384})
    both = plan(mid, small, "--budget", "1200M")
    assert {m["chosen"]["kv_k"] for m in both["models"]} == {"q8"} and both["totals"]["fits"]
    tight = plan(mid, small, "--budget", "250M")
    contexts = {m["chosen"]["ctx"] for m in tight["models"]}
    assert len(contexts) == 1 and contexts.pop() < 16384 and tight["totals"]["fits"]


# ---- what does not fit, and bad input --------------------------------------------------------------------------------------

def test_budget_smaller_than_the_weights(tmp_path):
    path = gguf.write(tmp_path / "big.gguf", gqa("llama", 32, 32, 8, 128), [("token_embd.weight", "F16", (4096, 1 << 20))])
    done = kvasir("plan", path, "--budget", "4G", "--json", code=4)
    document = json.loads(done.stdout)
    assert document["weights_bytes"] == 8 * GIB and not document["fits"]
    assert document["missing_bytes"] == document["total_bytes"] - 4 * GIB + document["margin_bytes"]
    assert b"missing" in done.stderr and b"Fits: a budget of" in done.stderr
    # And what is said to fit does.
    size = re.search(r"a budget of ([\d.]+) GiB", document["would_fit"][-1]).group(1)
    assert plan(path, "--budget", f"{float(size) + 0.01:.2f}G", "--ctx", document["chosen"]["ctx"], "--kv", "q4")["fits"]


def test_what_is_chosen_is_possible(mid, tmp_path):
    """No chosen context is beyond the longest that is said to fit, with users and with several models."""
    small = gguf.write(tmp_path / "small.gguf", gqa("qwen3", 8, 16, 8, 128) | {"qwen3.context_length": 16384})
    for args in ([mid, "--users", 3], [mid, small], [mid, small, "--users", 4, "--prefix", "1K"]):
        document = plan(*args, "--budget", "330M")
        for m in document.get("models", [document]):
            assert 0 < m["chosen"]["ctx"] <= m["max_ctx"][m["chosen"]["kv_k"]] < m["spill_depth"]


def test_would_fit_is_true(mid):
    document = plan(mid, "--budget", "700M", "--ctx", "16K", "--kv", "f16", code=4)
    texts = "\n".join(document["would_fit"])
    ctx = re.search(r"a context of (\d+) tokens at f16", texts).group(1)
    assert plan(mid, "--budget", "700M", "--ctx", ctx, "--kv", "f16")["fits"]
    kv = re.search(r"KV in (\w+) at 16384 tokens", texts).group(1)
    assert kv == "q8" and plan(mid, "--budget", "700M", "--ctx", "16K", "--kv", kv)["fits"]
    budget = math.ceil(float(re.search(r"a budget of ([\d.]+) GiB", texts).group(1)) * 1024)
    assert plan(mid, "--budget", f"{budget + 8}M", "--ctx", "16K", "--kv", "f16")["fits"]


def test_larger_than_memory(tmp_path):
    path = gguf.write(tmp_path / "huge.gguf", gqa("llama", 32, 32, 8, 128), [("token_embd.weight", "F16", (1 << 17, 1 << 26))])
    assert plan(path, code=4)["weights_bytes"] == 1 << 44


def test_header_only(tmp_path):
    whole = open(tiny("llama-tied"), "rb").read()
    first = min(t["offset"] for t in kvasir_json("inspect", tiny("llama-tied"))["tensors"])
    part = tmp_path / "part.gguf"
    part.write_bytes(whole[:first])
    done = kvasir("plan", part, "--ctx", 512, "--json")
    assert b"planned from the header" in done.stderr
    a, b = json.loads(done.stdout), plan(tiny("llama-tied"), "--ctx", 512)
    for key in ("weights_bytes", "kv_bytes", "workspace_bytes", "total_bytes", "streams", "weights"):
        assert a[key] == b[key]
    part.write_bytes(whole[:first // 2])
    assert b"byte" in kvasir("plan", part, code=3).stderr


MYSTERY_TENSORS = [("token_embd.weight", "F16", (256, 1000)), ("x", "Q8_0", (256, 256))]
MYSTERY_BYTES = 256 * 1000 * 2 + 256 * 256 * 34 // 32


def mystery(path, tensors=(), **keys):
    more = {"mystery." + key.replace("__", "."): value for key, value in keys.items()}
    return gguf.write(path, gqa("mystery", 4, 4, 2, 64) | more, [*MYSTERY_TENSORS, *tensors])


def test_assumed_architecture(tmp_path):
    """Nobody knows it, but its keys are those of plain attention: planned like qwen3 with the same keys, and marked."""
    path = mystery(tmp_path / "m.gguf")
    like = gguf.write(tmp_path / "like.gguf", gqa("qwen3", 4, 4, 2, 64), MYSTERY_TENSORS)
    document, known = (plan(p, "--ctx", "4K", "--kv", "q8", "--budget", "1G") for p in (path, like))
    assert document["kv_assumed"] and "assumed: plain attention" in document["kv_note"] and not document["runs"]
    assert not known["kv_assumed"] and known["kv_note"] is None
    for key in ("kv_bytes", "streams", "weights_bytes", "max_ctx", "ctx_train", "fits", "total_is_least"):
        assert document[key] == known[key], key
    assert document["weights_bytes"] == MYSTERY_BYTES and document["fits"] is True
    assert b"assumed: plain attention in every layer, as the header's keys say" in kvasir("plan", path).stdout
    assert peer(path, 4096, "f16")["bytes_per_token"] == 4 * 2 * 2 * 64 * 2


def test_assumed_head_sizes(tmp_path):
    """Without key_length: the width over the heads; a list of heads, with layers that have none."""
    keys = gguf.header("mystery", block_count=4, context_length=4096, embedding_length=256, attention__head_count=4,
                       attention__head_count_kv=[2, 0, 1, 2])
    document = plan(gguf.write(tmp_path / "m.gguf", keys), "--ctx", 4096, "--kv", "f16")
    assert [(s["layer"], s["name"], s["heads"], s["head_dim"]) for s in document["streams"]] == [
        (i, n, h, 64) for i, h in ((0, 2), (2, 1), (3, 2)) for n in ("k", "v")]


def test_assumed_windows(tmp_path):
    """Counted where a list says which layers have one. Without it all tokens count, which is said."""
    for pattern, windows, says in (([True, False, True, False], [512, 0, 512, 0], False), (None, [0] * 4, True), (6, [0] * 4, True)):
        keys = {} if pattern is None else {"attention__sliding_window_pattern": pattern}
        document = plan(mystery(tmp_path / "m.gguf", attention__sliding_window=512, **keys))
        assert [s["window"] for s in document["streams"] if s["name"] == "k"] == windows
        assert ("all tokens count" in document["kv_note"]) == says


UNKNOWN = {
    "states": ({"ssm__conv_kernel": 4, "ssm__inner_size": 512}, [], "mystery.ssm.conv_kernel, mystery.ssm.inner_size"),
    "latent": ({"attention__kv_lora_rank": 512}, [], "mystery.attention.kv_lora_rank"),
    "shared": ({"attention__shared_kv_layers": 2}, [], "mystery.attention.shared_kv_layers"),
    "indexer": ({"attention__indexer__key_length": 128}, [], "mystery.attention.indexer.key_length"),
    "interval": ({"full_attention_interval": 4}, [], "mystery.full_attention_interval"),
    "many": ({f"ssm__k{i}": 1 for i in range(9)}, [], "and more"),
    "encoder": ({"attention__causal": False}, [], "mystery.attention.causal"),
    "no heads": ({"attention__head_count_kv": 0}, [], "no layer has heads"),
    "huge heads": ({"attention__key_length": 4096}, [], "4096"),
    "absurd": ({"block_count": 1 << 20}, [], "block_count"),
    "wrong type": ({"attention__head_count": "four"}, [], "attention.head_count"),
    "tensor": ({}, [("blk.1.ssm_a", "F32", (4,)), ("blk.1.attn_k.weight", "F16", (256, 128))], "blk.1.ssm_a"),
    "no k": ({}, [("blk.2.attn_q.weight", "F16", (256, 256))], "layer 2 has neither"),
    "other rows": ({}, [("blk.0.attn_k.weight", "F16", (256, 64))], "rows of 64 elements, the keys say 128"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_architecture(tmp_path, name):
    """What is not known does not fit, nor does it not fit."""
    keys, tensors, says = UNKNOWN[name]
    path = mystery(tmp_path / "m.gguf", tensors, **keys)
    done = kvasir("plan", path, "--json", code=3)
    document = json.loads(done.stdout)
    check(document, PLAN)
    assert document["fits"] is None and document["missing_bytes"] is None and document["total_is_least"]
    assert document["kv_bytes"] is None and document["streams"] == [] and document["chosen"]["kv_k"] is None
    assert not document["kv_assumed"] and says in document["kv_note"]
    assert document["weights_bytes"] >= MYSTERY_BYTES
    assert b"at least" in done.stderr and b"KV of architecture mystery is not known" in done.stderr
    text = kvasir("plan", path, code=3).stdout.decode()
    assert re.search(r"total +at least [\d.]+ MiB \(weights and program\); KV of architecture mystery is not known", text)
    assert "fits\n" not in text and says in text
    for more in (["--ctx", "4K"], ["--kv", "q8"], ["--for", "llama.cpp"]):
        done = kvasir("plan", path, *more, code=3)
        assert says in done.stderr.decode() and done.stdout == b""
    # What is known may be too much already.
    done = kvasir("plan", path, "--budget", "1M", "--json", code=4)
    document = json.loads(done.stdout)
    assert document["fits"] is False and document["missing_bytes"] > 0 and b"at least" in done.stderr


@pytest.mark.parametrize("missing", ["block_count", "context_length", "embedding_length", "attention.head_count"])
def test_header_says_too_little(tmp_path, missing):
    keys = gqa("mystery", 4, 4, 2, 64)
    del keys["mystery." + missing]
    document = json.loads(kvasir("plan", gguf.write(tmp_path / "m.gguf", keys), "--json", code=3).stdout)
    assert document["fits"] is None and f"mystery.{missing} is missing" in document["kv_note"]


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "x" * 40, "", "a b", "é"])
def test_hostile_names(tmp_path, name):
    done = kvasir("plan", gguf.write(tmp_path / "m.gguf", gqa(name, 4, 4, 2, 64), MYSTERY_TENSORS), code=3)
    assert b"\x1b" not in done.stdout + done.stderr and b"not known" in done.stderr


def test_one_of_several_is_unknown(tmp_path, mid):
    path = mystery(tmp_path / "m.gguf", ssm__conv_kernel=4)
    done = kvasir("plan", mid, path, "--json", "--budget", "4G", code=3)
    document = json.loads(done.stdout)
    check(document, PLAN_MANY)
    totals, (known, unknown) = document["totals"], document["models"]
    assert totals["fits"] is None and totals["total_is_least"] and known["kv_bytes"] and unknown["kv_bytes"] is None
    assert totals["total_bytes"] == known["total_bytes"] + unknown["total_bytes"] + totals["program_bytes"]
    assert b"at least" in done.stderr and b"mystery" in done.stderr


def test_beyond_training(tmp_path, mid):
    """A warning as that of run, and the longest context ends where training did."""
    document = plan(mid, "--budget", "4G", "--ctx", "20K", "--kv", "q4")
    note, = document["notes"]
    assert "20480" in note and "16384" in note and "trained for" in note
    done = kvasir("plan", mid, "--budget", "4G", "--ctx", "20K", "--kv", "q4")
    assert b"kvasir: " + note.encode() in done.stderr and b"20,480 tokens (trained for 16,384)" in done.stdout
    for ctx in ("16K", "1K"):
        assert plan(mid, "--budget", "4G", "--ctx", ctx)["notes"] == []
    assert plan(mid, "--budget", "4G", "--want-ctx", "20K")["notes"] == [note]


def test_longest_context_ends_with_training(mid):
    document = plan(mid, "--budget", "1000M")
    longest = document["max_ctx"]
    assert longest["f16"] < 16384 < longest["q8"] < longest["q4"] and document["ctx_train"] == 16384
    text = kvasir("plan", mid, "--budget", "1000M").stdout.decode()
    assert re.search(rf"longest context +f16 {longest['f16']:,}  q8 16,384  q4 16,384\n", text)
    assert re.search(rf"memory would hold +q8 {longest['q8']:,}  q4 {longest['q4']:,}  \(trained for 16,384\)\n", text)
    assert "memory would hold" not in kvasir("plan", mid, "--budget", "250M").stdout.decode()


def test_a_context_beyond_the_longest_says_so(mid):
    """The list ends with training, and the chosen one is not in it."""
    text = kvasir("plan", mid, "--budget", "4G", "--ctx", "20K").stdout.decode()
    assert re.search(r"longest context +f16 16,384  q8 16,384  q4 16,384  \(as far as it was trained; 20,480 is beyond\)\n", text)
    assert "is beyond" not in kvasir("plan", mid, "--budget", "4G", "--ctx", "16K").stdout.decode()


def test_speed_without_a_profile(tmp_path):
    """Where nothing is known of this machine, the plan says what would make it known, and --depths that it did nothing."""
    empty = {"XDG_CONFIG_HOME": str(tmp_path)}
    path = tiny("llama-tied")
    done = kvasir("plan", path, "--ctx", "128", **empty)
    assert re.search(r"^  speed +not predicted: .*kvasir probe", done.stdout.decode(), re.M) and b"--depths" not in done.stderr
    for more in ([], ["--json"]):
        said = kvasir("plan", path, "--ctx", "128", "--depths", "0,64", *more, **empty).stderr.decode()
        assert said.count("kvasir: --depths has no effect") == 1 and "kvasir probe" in said
    # A file that is no profile is said, and is not "none".
    (tmp_path / "kvasir").mkdir()
    (tmp_path / "kvasir/machine.json").write_text("{")
    assert b"machine.json" in kvasir("plan", path, "--ctx", "128", **empty).stderr
    # Of what does not run nothing is predicted either, with any profile.
    profile = tmp_path / "p.json"
    profile.write_text(json.dumps({"schema": "kvasir.probe/1", "name": "x", "cores": 1, "memory_bytes": "8 GiB", "teams": [
        {"threads": 1, "level": "avx2", "read_bytes_per_s": "10 GB/s", "int8_ops_per_s": 8e11, "f32_ops_per_s": 2e11, "barrier_s": 1e-6}]}))
    other = gguf.write(tmp_path / "h.gguf", hybrid(32, 16, 4, 4096, 16))
    done = kvasir("plan", other, "--machine", profile, "--ctx", "1K", "--budget", "100G", "--depths", "0")
    assert b"--depths has no effect" in done.stderr and b"models that run here" in done.stderr
    assert b"--depths has no effect" not in kvasir("plan", path, "--machine", profile, "--depths", "0").stderr


def test_speed_is_not_asked_of_what_does_not_run(tmp_path):
    profile = tmp_path / "p.json"
    profile.write_text(json.dumps({"schema": "kvasir.probe/1", "name": "x", "cores": 1, "memory_bytes": "8 GiB", "teams": [
        {"threads": 1, "level": "avx2", "read_bytes_per_s": "10 GB/s"}]}))
    path = mystery(tmp_path / "m.gguf", ssm__conv_kernel=4)
    assert b"--min-tps" in kvasir("plan", path, "--machine", profile, "--min-tps", 5, code=3).stderr


@pytest.mark.parametrize("architecture", ["llama", "qwen3moe", "deepseek2", "mystery"])
@pytest.mark.parametrize("n,used", [(4000000000, 2), (1 << 63, 2), (70000, 2), ("many", 2), (8, 9), (8, -1)])
def test_experts_that_cannot_be(tmp_path, architecture, n, used):
    keys = dict(attention__key_length_mla=64, attention__value_length_mla=64) if architecture == "deepseek2" else {}
    def path(n, used):
        return gguf.write(tmp_path / "x.gguf", gqa(architecture, 4, 8, 8, 64, expert_count=n, expert_used_count=used, **keys))

    done = kvasir("plan", path(n, used), code=3)
    said = done.stderr + done.stdout  # of an architecture that nobody knows the KV cache's line says it
    assert (b"expert_count" in said or b"expert_used_count" in said) and b"fits\n" not in done.stdout and b"fits," not in done.stdout
    assert b"expert_" not in kvasir("plan", path(8, 8), "--ctx", "1K", code=(0, 3)).stderr


def test_without_tensors(mid, tmp_path):
    """A header alone has no weights: that it "fits" is not all that there is to say."""
    done = kvasir("plan", mid, "--budget", "4G")
    assert f"kvasir: {mid}: there are no tensors in it: the plan is without weights".encode() in done.stderr
    assert re.search(r"weights +0 B  not known: the file has no tensors\n", done.stdout.decode())
    assert re.search(r"total .*: fits, weights not included\n", done.stdout.decode())
    assert plan(mid, "--budget", "4G")["total_is_least"] and not plan(tiny("llama-tied"))["total_is_least"]
    whole = kvasir("plan", tiny("llama-tied"), "--ctx", "128")
    assert b"without weights" not in whole.stderr and b": fits\n" in whole.stdout


HOSTILE = [
    ("block_count", 0), ("block_count", 1 << 20), ("context_length", 0), ("attention.head_count", 1 << 20),
    ("attention.head_count_kv", 1 << 31), ("attention.key_length", 0), ("attention.key_length", 1 << 16),
    ("attention.value_length", "wide"), ("ssm.conv_kernel", 0), ("ssm.inner_size", 1 << 30), ("ssm.state_size", 1 << 30),
    ("ssm.group_count", 1 << 63), ("full_attention_interval", 0), ("attention.head_count_kv", [1, 2]),
    ("attention.head_count_kv", [1.5] * 32), ("attention.head_count_kv", [2000] * 32),
]


@pytest.mark.parametrize("key,v", HOSTILE, ids=lambda x: str(x)[:24])
def test_hostile_keys(tmp_path, key, v):
    keys = hybrid(32, 16, 4, 4096, 16) | {"qwen35." + key: v}
    done = kvasir("plan", gguf.write(tmp_path / "h.gguf", keys), code=3)
    assert key in done.stderr.decode() and done.stdout == b""


@pytest.mark.parametrize("missing", ["attention.sliding_window", "attention.compress_ratios", "attention.indexer.key_length"])
def test_missing_keys(tmp_path, missing):
    keys = v4(FLASH)
    del keys["deepseek4." + missing]
    assert missing in kvasir("plan", gguf.write(tmp_path / "h.gguf", keys), code=3).stderr.decode()


@pytest.mark.parametrize("args", [
    ["--budget", "8X"], ["--budget", "0"], ["--reserve", "much"], ["--ctx", "many"], ["--kv", "q9"], ["--kv", "q5_1"],
    ["--for", "nothing"], ["--for", "llama.cpp", "--kv", "q9"], ["--users", "0"], ["--users", "5000"], ["--ctx", "1K", "--prefix", "2K"],
    ["--ctx", "1K", "--want-ctx", "2K"],
])
def test_wrong_usage(args):
    done = kvasir("plan", tiny("llama-tied"), *args, code=2)
    assert done.stdout == b"" and done.stderr.startswith(b"kvasir")


def test_no_model():
    kvasir("plan", code=2)
    assert b"nothing.gguf" in kvasir("plan", "nothing.gguf", code=3).stderr


def test_peer_types(mid):
    sizes = {kv: peer(mid, 4096, kv)["bytes_per_token"] * 32 for kv in ("f32", "bf16", "q5_1", "q5_0", "q4_1", "iq4_nl", "q8:q5_1")}
    rows = 16 * 8 * 128 * 2
    assert sizes == {"f32": rows * 128, "bf16": rows * 64, "q5_1": rows * 24, "q5_0": rows * 22, "q4_1": rows * 20,
                     "iq4_nl": rows * 18, "q8:q5_1": rows * 29}


def test_text(mid):
    shown = kvasir("plan", mid, "--ctx", "4K", "--for", "llama.cpp").stdout.decode()
    assert re.search(r"KV cache +256 MiB", shown) and "longest context" in shown and "Why\n  1. " in shown
    command = shown.strip().splitlines()[-1].strip()
    assert command.startswith("llama-cli -m ") and " -c 4096 -ctk f16 -ctv f16 -fa on" in command and "-ngl 0" in command
    assert "    0  k " not in shown and re.search(r"^ +0 +k +f16", kvasir("plan", "-v", mid).stdout.decode(), re.M)


def test_split_files(tmp_path):
    keys = gqa("qwen3", 4, 4, 2, 64)
    parts = [[("token_embd.weight", "F16", (256, 1000))], [("a", "Q8_0", (256, 256))]]
    for i, tensors in enumerate(parts):
        split = {"split.no": i, "split.count": 2, "split.tensors.count": 2}
        gguf.write(tmp_path / f"m-0000{i + 1}-of-00002.gguf", (keys if i == 0 else {}) | split, tensors, data=i == 1)
    document = plan(tmp_path / "m-00001-of-00002.gguf", "--ctx", 1024)
    assert document["weights_bytes"] == 256 * 1000 * 2 + 256 * 256 * 34 // 32
    assert document["kv_bytes"] == 1024 * 4 * 2 * 64 * 2 * 2
