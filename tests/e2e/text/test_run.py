import json
import os
import signal
import subprocess
import time

import pytest

import shapes
from conftest import BIN, SHORT, TEMPLATE, data, environment, kvasir, kvasir_json, tiny
from shapes import check

GREEDY = ["--temp", "0"]


def test_document(llama):
    document = kvasir_json("run", llama, "--raw", "-p", "hello there", "-n", "12", "--ignore-eos", *GREEDY)
    check(document, shapes.RUN)
    assert document["generated_tokens"] == len(document["ids"]) == 12 and document["stop_reason"] == "limit"
    assert document["prompt_tokens"] == len(kvasir_json("tokenize", llama, "-p", "hello there")["ids"])
    # The last token has been chosen, not read.
    assert document["depth"] == document["prompt_tokens"] + 11
    assert document["kv"]["type_k"] == document["kv"]["type_v"] == "f16"
    assert 0 < document["kv"]["bytes_used"] <= document["kv"]["bytes_budget"]
    assert document["timings"]["ttft_ms"] >= document["timings"]["prefill_ms"] > 0


def test_text_is_streamed_and_summed_up(llama):
    args = ["run", llama, "--raw", "-p", "hello", "-n", "9", "--ignore-eos", *GREEDY]
    done = kvasir(*args)
    text = json.loads(kvasir(*args, "--json").stdout)["text"]
    shown = done.stdout.decode(errors="replace")
    assert shown in (text, text + "\n") and shown.endswith("\n")
    summary = done.stderr.decode()
    assert summary.count("\n") == 1, summary
    for part in ("prompt ", "t/s", "generated 9 tokens", "ms/token", "depth ", "KV ", " of "):
        assert part in summary


def test_greedy_is_what_eval_says(llama):
    ids = kvasir_json("tokenize", llama, "-p", "some words")["ids"]
    greedy = kvasir_json("eval", llama, "--ids", "-", "--greedy", "8", input=json.dumps(ids))["greedy"]
    assert kvasir_json("run", llama, "--raw", "-p", "some words", "-n", "8", "--ignore-eos", *GREEDY)["ids"] == greedy


def test_ways_to_give_a_prompt(llama, tmp_path):
    (tmp_path / "p.txt").write_text("abc")
    common = ["run", llama, "--raw", "-n", "5", "--ignore-eos", *GREEDY]
    wanted = kvasir_json(*common, "-p", "abc")["ids"]
    assert kvasir_json(*common, "-f", tmp_path / "p.txt")["ids"] == wanted
    assert kvasir_json(*common, "-f", "-", input="abc")["ids"] == wanted
    assert kvasir_json(*common, input="abc")["ids"] == wanted
    both = kvasir_json(*common, "-f", tmp_path / "p.txt", "-p", "def")
    assert both["ids"] == kvasir_json(*common, "-p", "abc\n\ndef")["ids"]


def test_seed(llama):
    def ids(*args):
        return kvasir_json("run", llama, "--raw", "-p", "x", "-n", "24", "--ignore-eos", "--temp", "1.5", *args)

    one, two = ids("--seed", "7"), ids("--seed", "7", "-t", "1", "--chunk", "1")
    assert one["ids"] == two["ids"] and one["seed"] == 7
    assert ids("-s", "8")["ids"] != one["ids"]
    drawn = ids()
    assert drawn["seed"] >= 0 and ids("--seed", drawn["seed"])["ids"] == drawn["ids"]


def test_sampling_options_reach_the_sampler(llama):
    """Each changes a long random answer, or is without effect at its neutral value."""
    def ids(*args):
        return kvasir_json("run", llama, "--raw", "-p", "abcabcabc", "-n", "48", "--ignore-eos", "--seed", "3", "-t", "1", "--temp", "1.2",
                           "--top-k", "0", "--top-p", "1", "--min-p", "0", *args)["ids"]

    plain = ids()
    for changed in (["--temp", "0.3"], ["--top-k", "3"], ["--top-p", "0.2"], ["--min-p", "0.5"], ["--typical", "0.2"],
                    ["--repeat-penalty", "5"], ["--frequency-penalty", "9"], ["--presence-penalty", "9"],
                    ["--xtc-probability", "1", "--xtc-threshold", "0.001"], ["--logit-bias", f"{plain[0]}=-inf"]):
        assert ids(*changed) != plain, changed
    for neutral in (["--top-k", "0"], ["--typical", "1"], ["--repeat-penalty", "1"], ["--dry-multiplier", "0"], ["--xtc-probability", "0"]):
        assert ids(*neutral) == plain, neutral
    assert ids("--repeat-penalty", "5", "--repeat-last-n", "0") == plain
    assert plain[0] not in ids("--logit-bias", f"{plain[0]}-inf")
    assert set(ids("--logit-bias", "65+1000")) == {65}


def test_dry(llama):
    """With a fixed favourite token DRY has to break the repetition."""
    common = ["run", llama, "--raw", "-p", "x", "-n", "32", "--ignore-eos", *GREEDY, "--logit-bias", "65+40"]
    assert set(kvasir_json(*common)["ids"]) == {65}
    broken = kvasir_json(*common, "--dry-multiplier", "10", "--dry-allowed-length", "1", "--dry-base", "2", "--dry-breaker", "\n")["ids"]
    assert set(broken) != {65}


@pytest.mark.parametrize("bias", ["x=1", "1", "1=", "1=x", "-1=2", "99999999999=1", "1=nan"])
def test_bad_bias(llama, bias):
    assert b"--logit-bias" in kvasir("run", llama, "--raw", "-p", "x", "--logit-bias", bias, code=2).stderr


def test_stop_strings_across_tokens(llama):
    """The stop string is cut out of the middle of a known answer, so that it begins and ends inside of tokens."""
    common = ["run", llama, "--raw", "-p", "hello", "-n", "40", "--ignore-eos", "--temp", "0.9", "--seed", "11", "--top-k", "64"]
    common += sum((["--logit-bias", f"{i}+3"] for i in range(64, 91)), [])
    whole = kvasir_json(*common)["text"]
    usable = [i for i in range(8, len(whole) - 5) if "\ufffd" not in whole[i:i + 4]]
    at = usable[0]
    stop = whole[at:at + 4]
    at = whole.index(stop)
    stopped = kvasir_json(*common, "--stop", "never there", "--stop", stop)
    assert stopped["text"] == whole[:at] and stopped["stop_reason"] == "string" and stopped["generated_tokens"] < 40
    shown = kvasir(*common, "--stop", stop).stdout.decode(errors="replace")
    assert shown.rstrip("\n") == whole[:at].rstrip("\n")


def test_end_of_text(llama):
    """The model's end token ends the answer, and --ignore-eos goes on."""
    eos = kvasir_json("inspect", llama)["tokenizer"]["eos"]
    common = ["run", llama, "--raw", "-p", "x", "-n", "6", *GREEDY, "--logit-bias", f"{eos}+1000"]
    ended = kvasir_json(*common)
    assert ended["stop_reason"] == "end" and ended["ids"] == [eos] and ended["text"] == ""
    on = kvasir_json(*common, "--ignore-eos")
    assert on["ids"] == [eos] * 6 and on["stop_reason"] == "limit" and on["text"] == ""
    assert kvasir_json(*common, "--ignore-eos", "--special")["text"] != ""


# ---- drafts ----------------------------------------------------------------------------------------------------------

REPEATED = "one two three four, one two three five, one two three four, one two"


@pytest.mark.parametrize("name", ["llama-tied", "gemma3"])
@pytest.mark.parametrize("sampling", [GREEDY, ["--temp", "0.4", "--seed", "5"],
                                      ["--temp", "0.7", "--seed", "6", "--repeat-penalty", "1.1", "--dry-multiplier", "0.3"]])
def test_draft_changes_nothing(name, sampling):
    common = ["run", tiny(name), "--raw", "-p", REPEATED, "-n", "150", "--ignore-eos", "--logit-bias", "65+6", "--logit-bias", "66+6",
              *sampling]
    plain, drafted = kvasir_json(*common), kvasir_json(*common, "--draft", "lookup")
    for key in ("ids", "text", "generated_tokens", "stop_reason", "depth"):
        assert drafted[key] == plain[key], key
    assert plain["drafted"] == plain["accepted"] == 0
    assert drafted["drafted"] >= drafted["accepted"] >= 0 and drafted["drafted"] > 0


def test_draft_in_text(llama):
    common = ["run", llama, "--raw", "-p", REPEATED, "-n", "60", "--ignore-eos", *GREEDY, "--logit-bias", "65+40"]
    plain, drafted = kvasir(*common), kvasir(*common, "--draft", "lookup")
    assert drafted.stdout == plain.stdout
    document = kvasir_json(*common, "--draft", "lookup")
    assert document["accepted"] > 30
    assert f"{document['accepted']} of {document['drafted']} drafted accepted" in drafted.stderr.decode()
    assert b"drafted" not in plain.stderr
    assert b"--draft" in kvasir(*common, "--draft", "model", code=2).stderr


def test_draft_of_a_real_model(smollm):
    """What a model is asked to repeat is proposed, and most of it is right."""
    quote = "The keeper of the lighthouse counted the ships that passed: seven schooners, two brigs and a steamer."
    common = ["run", smollm, "--raw", "-p", f"{quote}\n{quote}\n{quote}\nThe keeper", "-n", "60", "--ignore-eos", *GREEDY]
    plain, drafted = kvasir_json(*common), kvasir_json(*common, "--draft", "lookup")
    assert drafted["ids"] == plain["ids"] and drafted["text"] == plain["text"]
    assert drafted["accepted"] > 20


# ---- limits ---------------------------------------------------------------------------------------------------------

def test_prompt_longer_than_the_context(llama):
    prompt = "word " * 200
    n = len(kvasir_json("tokenize", llama, "-p", prompt)["ids"])
    done = kvasir("run", llama, "--raw", "-p", prompt, "--ctx", "100", code=4)
    message = done.stderr.decode()
    assert str(n) in message and "100" in message and done.stdout == b""


def test_context_fills_up(llama):
    document = kvasir_json("run", llama, "--raw", "-p", "x", "--ctx", "32", "--ignore-eos", *GREEDY)
    assert document["stop_reason"] == "context" and document["depth"] == document["ctx"] == 32


def test_kv_memory_too_small(llama):
    done = kvasir("run", llama, "--raw", "-p", "x", "--ctx", "4K", "--kv-memory", "16K", code=4)
    assert "--ctx" in done.stderr.decode() and sum(c.isdigit() for c in done.stderr.decode()) > 2


def test_refused_kv_type(llama):
    kvasir("run", llama, "--raw", "-p", "x", "--kv", "nonsense", code=2)


def test_empty_prompt(llama):
    assert b"empty" in kvasir("run", llama, "--raw", "-p", "", code=2).stderr


def test_unreadable_prompt(llama, tmp_path):
    for option in ("-f", "--system-file", "--template"):
        done = kvasir("run", llama, option, tmp_path / "absent", "-p", "x", code=1)
        assert b"absent" in done.stderr
    assert kvasir("run", llama, "-f", tmp_path, code=1).stderr.startswith(b"kvasir: ")


@pytest.mark.skipif(SHORT, reason="a sanitizer's shadow of a gigabyte takes its time")
def test_endless_file(llama):
    assert b"/dev/zero: more than 1 GiB" in kvasir("run", llama, "-f", "/dev/zero", code=2).stderr


def test_llama_cpp_names(llama, tmp_path):
    (tmp_path / "p").write_text("abc")
    done = kvasir("run", llama, "-c", "256", "-ngl", "99", "-ctk", "f16", "-ctv", "f32", "-t", "1", "-n", "4", "-f", tmp_path / "p",
                  "--temp", "0", "--top-k", "40", "--top-p", "0.95", "--min-p", "0.05", "--repeat-penalty", "1.0", "-ub", "64",
                  "--no-conversation", "--ignore-eos", "--json")
    document = json.loads(done.stdout)
    assert (document["ctx"], document["kv"]["type_k"], document["kv"]["type_v"]) == (256, "f16", "f32")
    assert b"-ngl: no effect" in done.stderr
    # A value that looks like one of these names stays a value.
    assert kvasir_json("run", llama, "--raw", "-p", "-ngl", "-n", "2", "--ignore-eos")["prompt_tokens"] == \
        len(kvasir_json("tokenize", llama, "-p", "-ngl")["ids"])


# ---- the chat template ------------------------------------------------------------------------------------------------

def test_template_is_applied(llama):
    common = ["-n", "6", "--ignore-eos", *GREEDY]
    plain = kvasir_json("run", llama, "--raw", "-p", "<system>S</system>\n<user>Hi</user>\n<assistant>", *common)
    chat = kvasir_json("run", llama, "--template", TEMPLATE, "--system", "S", "-p", "Hi", *common)
    assert chat["ids"] == plain["ids"] and chat["prompt_tokens"] == plain["prompt_tokens"]


def test_system_needs_a_template(llama):
    assert b"--template" in kvasir("run", llama, "--system", "S", "-p", "x", code=2).stderr


def test_special_tokens_in_raw_prompts(smollm):
    def count(*args):
        return kvasir_json("run", smollm, "--raw", "-p", "<|im_end|>", "-n", "1", *GREEDY, *args)["prompt_tokens"]
    assert count() == 1 and count("--no-special") > 1


def test_real_model_continues_as_the_reference(smollm):
    """Up to the first near-tie, where quantised arithmetic may decide otherwise (shared/fixtures/real/README.md). Of the two
    references the one with full-precision weights is the better judge: what it finds near is near, whatever the other says."""
    path = data("real/logits-smollm2-135m-q4_1.json")
    if not path:
        pytest.skip("shared/fixtures/real is not there")
    prompt = json.loads(path.read_text())["prompts"]["chat"]
    both = zip(prompt["positions"], prompt["f32_weights"]["positions"])
    gaps = [min(p["top"][0][1] - p["top"][1][1] for p in pair) for pair in both]
    sure = next((i for i, gap in enumerate(gaps) if gap < 0.2), len(gaps))
    assert sure >= 3
    document = kvasir_json("run", smollm, "--raw", "-p", prompt["text"], "-n", str(sure), "--ignore-eos", *GREEDY)
    assert document["prompt_tokens"] == len(prompt["ids"]) and document["ids"] == prompt["greedy"][:sure]


# ---- interruption ---------------------------------------------------------------------------------------------------

def interrupt(args, after, stdin=None):
    """Starts the command, sends Ctrl-C after a while, and returns the exit status, both outputs, and the time it took."""
    process = subprocess.Popen([BIN, *map(str, args)], stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment())
    time.sleep(after)
    assert process.poll() is None, "over before it could be interrupted"
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err.decode(), time.monotonic() - sent


@pytest.fixture(scope="module")
def long_ids(tmp_path_factory):
    """So many tokens that reading them takes minutes even with a tiny model."""
    path = tmp_path_factory.mktemp("long") / "ids"
    path.write_text(" ".join(str(5 + i % 200) for i in range(400_000)))
    return path


def test_interrupted_prefill(llama, tmp_path):
    prompt = tmp_path / "long.txt"
    prompt.write_text("".join(f"{i} is a number; " for i in range(60_000)))
    code, out, err, seconds = interrupt(["run", llama, "--raw", "-f", prompt, "--ctx", "2M", "--kv-memory", "8G"], 2)
    assert code == 130 and out == b"" and "stopped" in err and seconds < 20


def test_interrupted_step(llama, long_ids):
    """One step of very many tokens: the engine itself has to notice."""
    code, _, err, seconds = interrupt(["eval", llama, "--ids", long_ids, "--ctx", "512K", "--chunk", "2K"], 2)
    assert code == 130 and "stopped" in err and seconds < 30


def test_interrupted_answer_is_kept(smollm):
    code, out, err, seconds = interrupt(["run", smollm, "--raw", "-p", "Once upon a time", "--ignore-eos"], 4)
    assert code == 130 and len(out) > 1 and out.endswith(b"\n") and seconds < 5
    assert "generated" in err and "stopped" in err


def test_interrupted_stdin(llama):
    process = subprocess.Popen([BIN, "run", llama, "--raw"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=environment())
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    process.stdin.close()


def test_more_threads_than_cores(llama):
    cores = len(os.sched_getaffinity(0))
    for threads, warns in ((cores, False), (cores + 1, True)):
        done = kvasir("run", llama, "--raw", "-p", "x", "-n", "1", "-t", threads)
        assert (b"the most that helps" in done.stderr) == warns, done.stderr
