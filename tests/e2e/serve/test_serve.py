"""kvasir serve: its answers against those of `run`, streams, the queue, configuration, stopping."""
import json
import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import SHORT, TEMPLATE, kvasir, kvasir_json, tiny
from serving import (
    CHAT, COMPLETIONS, ENDLESS, EOS, GREEDY, LONG, MIB, NAME, WAIT, Answer, Server, as_messages, bearer, bias_args, cached,
    delta_text, events_of, finish_of, metrics_of, refused, run, text_of, wait_for, words)
from shapes import NUMBER, OPTIONAL_NUMBER, check

USAGE = {"prompt_tokens": int, "completion_tokens": int, "total_tokens": int, "prompt_tokens_details": {"cached_tokens": int}}
TIMINGS = {"queue_ms": NUMBER, "prefill_ms": NUMBER, "ttft_ms": NUMBER, "decode_ms_per_token": OPTIONAL_NUMBER}
ANSWER = {"id": str, "object": str, "created": int, "model": str, "usage": USAGE, "timings": TIMINGS}
NOTHING = type(None)
CHOICE = {"index": int, "logprobs": NOTHING, "finish_reason": str}
CHAT_ANSWER = {**ANSWER, "choices": [{**CHOICE, "message": {"role": str, "content": str}}]}
TEXT_ANSWER = {**ANSWER, "choices": [{**CHOICE, "text": str}]}
MODELS = {"object": str, "data": [{"id": str, "object": str, "created": int, "owned_by": str, "ctx": int, "ctx_train": int,
                                   "kv_k": str, "kv_v": str, "file_bytes": int}]}


# ---- answers --------------------------------------------------------------------------------------------------------------

PROMPTS = ["hello there", "the river and the stones", "<|bos|>abc", "日本語 and 🙂\n", "two\n\nlines\t", words("long", 400)]


@pytest.mark.parametrize("prompt", PROMPTS, ids=["words", "tokens", "special", "characters", "lines", "long"])
def test_completion_is_that_of_run(server, prompt):
    wanted = run(prompt, 24)
    for _ in range(2):  # the second time from what is kept
        got = server.complete(prompt, 24)
        check(got, TEXT_ANSWER)
        assert got["object"] == "text_completion" and got["id"].startswith("cmpl-") and got["model"] == NAME
        assert text_of(got) == wanted["text"]
        assert finish_of(got) == ("length" if wanted["stop_reason"] == "limit" else "stop")
        usage = got["usage"]
        assert usage["prompt_tokens"] == wanted["prompt_tokens"] and usage["completion_tokens"] == wanted["generated_tokens"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert 0 <= cached(got) < usage["prompt_tokens"]


def test_chat_is_that_of_run(server):
    wanted = kvasir_json("run", tiny(NAME), "--template", TEMPLATE, "--system", "Be brief.", "-p", "Who?", "-n", "24", *GREEDY)
    got = server.chat([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}], 24)
    check(got, CHAT_ANSWER)
    assert got["object"] == "chat.completion" and got["id"].startswith("chatcmpl-") and got["model"] == NAME
    assert got["choices"][0]["message"] == {"role": "assistant", "content": wanted["text"]}
    assert got["usage"]["prompt_tokens"] == wanted["prompt_tokens"]


def test_chat_is_the_completion_of_the_applied_template(server):
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Why?"}]
    prompt = server.post("/apply-template", {"messages": messages})["prompt"]
    assert prompt == "<user>Hi</user>\n<assistant>Hello.</assistant>\n<user>Why?</user>\n<assistant>"
    assert text_of(server.chat(messages)) == text_of(server.complete(prompt)) == run(prompt)["text"]


def test_parts_of_a_message_are_joined(server):
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert server.post("/apply-template", {"messages": [{"role": "user", "content": parts}]}) == \
        {"prompt": "<user>one \ntwo</user>\n<assistant>"}
    assert text_of(server.chat([{"role": "user", "content": parts}])) == text_of(server.chat("one \ntwo"))
    server.chat([{"role": "assistant", "content": None}, {"role": "user", "content": "x"}])


def test_prompt_as_ids_or_in_a_list(server):
    ids = kvasir_json("tokenize", tiny(NAME), "-p", "the river and more")["ids"]
    wanted = run("the river and more")["text"]
    assert text_of(server.complete(ids)) == text_of(server.complete(["the river and more"])) == wanted
    assert server.complete(ids)["usage"]["prompt_tokens"] == len(ids)


PLAIN = {"temperature": 1.5, "seed": 3, "top_k": 0, "top_p": 1, "min_p": 0}


@pytest.mark.parametrize("change", [
    {}, {"temperature": 0.25}, {"top_k": 3}, {"top_p": 0.25}, {"min_p": 0.5}, {"repeat_penalty": 4}, {"frequency_penalty": 2},
    {"presence_penalty": 2}, {"frequency_penalty": -1.5, "temperature": 0.5}, {"seed": 12345678901},
    {"logit_bias": {"65": 6.5, "66": -100}},
    {"top_k": 40, "top_p": 0.75, "min_p": 0.125, "repeat_penalty": 1.25, "presence_penalty": 0.5}], ids=json.dumps)
def test_sampling_is_that_of_run(server, change):
    fields = {**PLAIN, **change}
    options = bias_args(fields.get("logit_bias", {}))
    for name in fields.keys() - {"logit_bias"}:
        options += ["--" + name.replace("_", "-").replace("temperature", "temp"), fields[name]]
    wanted = kvasir_json("run", tiny(NAME), "--raw", "-p", "abcabcabc", "-n", "40", *options)
    for _ in range(2):  # penalties see the prompt also where its KV is kept
        assert text_of(server.complete("abcabcabc", 40, **fields)) == wanted["text"]


@pytest.mark.parametrize("change", [{"top_k": 1}, {"top_p": 0}, {"min_p": 1}], ids=json.dumps)
def test_nothing_but_the_best_is_greedy(server, change):
    assert text_of(server.complete("abc", **{**PLAIN, **change})) == run("abc")["text"]


def test_seeds(server):
    def text(**more):
        return text_of(server.complete("x", 40, **{**PLAIN, "temperature": 2, "logit_bias": {str(EOS): -100}, **more}))
    assert text(seed=7) == text(seed=7) != text(seed=8)
    assert text(seed=None) != text(seed=None)


def stopping():
    """Options, the same fields, a known answer and four characters out of the middle of it."""
    options = ["--temp", "1.5", "--seed", "11", "--top-k", "0", "--top-p", "1", "--min-p", "0", *bias_args(ENDLESS)]
    fields = {"temperature": 1.5, "seed": 11, "top_k": 0, "top_p": 1, "min_p": 0, "logit_bias": ENDLESS}
    whole = kvasir_json("run", tiny(NAME), "--raw", "-p", "hello", "-n", "60", *options)["text"]
    at = next(i for i in range(8, len(whole) - 5) if whole[i:i + 4].isascii())
    return options, fields, whole, whole[at:at + 4]


def test_stop_strings(server):
    options, fields, whole, stop = stopping()
    wanted = kvasir_json("run", tiny(NAME), "--raw", "-p", "hello", "-n", "60", *options, "--stop", "never there", "--stop", stop)
    for given in (stop, [stop], ["never there", stop], ["never there"] * 15 + [stop]):
        got = server.complete("hello", 60, **fields, stop=given)
        assert text_of(got) == wanted["text"] == whole[:whole.index(stop)] and finish_of(got) == "stop"
        assert got["usage"]["completion_tokens"] == wanted["generated_tokens"] < 60
    got = server.complete("hello", 60, **fields, stop="never there")
    assert text_of(got) == whole and finish_of(got) == "length"


def test_max_tokens(server):
    """Both names; the model's own end comes first."""
    got = server.complete("x", 5, logit_bias=ENDLESS)
    assert got["usage"]["completion_tokens"] == 5 and finish_of(got) == "length"
    body = {"messages": as_messages("x"), "temperature": 0, "logit_bias": ENDLESS}
    for field in ("max_tokens", "max_completion_tokens"):
        got = server.post(CHAT, {**body, field: 6})
        assert got["usage"]["completion_tokens"] == 6 and finish_of(got) == "length"
    got = server.complete("x", 1, logit_bias=ENDLESS)
    assert got["usage"]["completion_tokens"] == 1 and got["timings"]["decode_ms_per_token"] is None
    got = server.complete("x", 1_000_000_000, logit_bias={str(EOS): 100})
    assert text_of(got) == "" and finish_of(got) == "stop"


def test_limit_of_requests_that_name_none(small):
    got = small.post(COMPLETIONS, {"prompt": "x", "logit_bias": ENDLESS})
    assert got["usage"]["completion_tokens"] == 7 and finish_of(got) == "length" and got["model"] == "small"
    assert text_of(got) == run("x", 7, *bias_args(ENDLESS))["text"], "--temp of the command is the default"
    assert small.complete("x", 9, logit_bias=ENDLESS)["usage"]["completion_tokens"] == 9


def test_context_fills_up(small):
    wanted = run("hello", 0, "--ctx", "64", *bias_args(ENDLESS))
    assert wanted["stop_reason"] == "context"
    got = small.complete("hello", 1000, logit_bias=ENDLESS)
    assert text_of(got) == wanted["text"] and finish_of(got) == "length"
    assert got["usage"]["completion_tokens"] == wanted["generated_tokens"]
    got = small.complete([97] * 64, 1000, logit_bias=ENDLESS)
    assert got["usage"]["completion_tokens"] == 1 and finish_of(got) == "length"


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_prompt_longer_than_the_context(small, path):
    text = "word " * 200
    n = len(small.post("/tokenize", {"content": text if path == COMPLETIONS else f"<user>{text}</user>\n<assistant>"})["tokens"])
    before = small.metrics()
    for stream in (False, True):
        body = {"prompt": text} if path == COMPLETIONS else {"messages": as_messages(text)}
        message = refused(small.ask("POST", path, {**body, "stream": stream}), 400, "context_length_exceeded")
        assert {str(n), "64"} <= set(re.findall(r"\d+", message.replace(",", ""))), message
    refused(small.ask("POST", COMPLETIONS, {"prompt": [97] * 65, "max_tokens": 1}), 400, "context_length_exceeded")
    assert small.metrics()["kvasir_prompt_tokens_total"] == before["kvasir_prompt_tokens_total"], "nothing was computed"


def test_large_body(server):
    message = refused(server.ask("POST", COMPLETIONS, {"prompt": "word " * 400_000}), 400, "context_length_exceeded")
    assert "4096" in message.replace(",", "")


def test_null_counts_as_absent(small):
    fields = ["model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p",
              "seed", "stop", "frequency_penalty", "presence_penalty", "repeat_penalty", "logit_bias", "n", "logprobs",
              "top_logprobs", "tools", "functions", "tool_choice", "response_format"]
    plain = small.post(CHAT, {"messages": as_messages("Hi")})
    nulls = small.post(CHAT, {"messages": as_messages("Hi"), **dict.fromkeys(fields)})
    assert text_of(nulls) == text_of(plain) and nulls["usage"]["total_tokens"] == plain["usage"]["total_tokens"]
    plain = small.post(COMPLETIONS, {"prompt": "Hi"})
    nulls = small.post(COMPLETIONS, {"prompt": "Hi", **dict.fromkeys([*fields, "best_of", "echo", "suffix"])})
    assert text_of(nulls) == text_of(plain)


def test_neutral_and_unknown_fields(small):
    chat = {"n": 1, "logprobs": False, "tools": [], "functions": [], "response_format": {"type": "text"}, "user": "me",
            "unknown": {"a": [1]}, "stream": False, "model": "small", "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}
    plain = text_of(small.post(CHAT, {"messages": as_messages("Hi")}))
    for choice in ("none", "auto"):
        assert text_of(small.post(CHAT, {"messages": as_messages("Hi"), **chat, "tool_choice": choice})) == plain
    small.post(COMPLETIONS, {"prompt": "Hi", "n": 1, "best_of": 1, "echo": False, "suffix": "", "user": "me"})


def test_connection_is_kept(server):
    connection = server.connection()
    for i in range(3):
        connection.request("POST", COMPLETIONS, json.dumps({"prompt": f"again {i}", "max_tokens": 4, "temperature": 0}))
        kept = connection.sock
        assert kept is not None
        answer = Answer(connection.getresponse())
        assert answer.status == 200 and text_of(answer.json) == run(f"again {i}", 4)["text"]
        assert connection.sock is kept, "closed after an answer"
    connection.close()


# ---- prefixes -------------------------------------------------------------------------------------------------------------

def test_cached_tokens_of_the_same_request(server):
    prompt = words("same", 80)
    first, second = server.complete(prompt), server.complete(prompt)
    n = first["usage"]["prompt_tokens"]
    assert cached(first) < n // 2 < cached(second) < n and text_of(first) == text_of(second) == run(prompt)["text"]


def test_cached_tokens_of_a_conversation(server):
    """Every turn begins behind what the one before it left."""
    messages = [{"role": "user", "content": words("talk", 80)}]
    before = None
    for question in ("And why?", "And then?", "And now?"):
        answer = server.chat(messages, 32, logit_bias=ENDLESS)
        prompt = server.post("/apply-template", {"messages": messages})["prompt"]
        assert text_of(answer) == run(prompt, 32, *bias_args(ENDLESS))["text"]
        if before:
            assert before["usage"]["prompt_tokens"] - 64 <= cached(answer) < answer["usage"]["prompt_tokens"]
            assert cached(answer) > cached(before)
        before = answer
        messages += [{"role": "assistant", "content": text_of(answer)}, {"role": "user", "content": question}]


@pytest.mark.parametrize("model, kv", [(NAME, "f16"), ("gemma3", "q8:q4")] if SHORT else
                         [(m, kv) for m in (NAME, "gemma3") for kv in ("f16", "q8", "q8:q4")])
def test_what_is_kept_changes_nothing(model, kv):
    """Prompts that begin alike, one at a time, again, and all at once: as if each was the first."""
    base = words("b", 100)
    prompts = [base, base + " x", base + " and the river", base[:len(base) // 2] + " other", base[:300], base]
    wanted = [run(p, 24, "--kv", kv, model=model)["text"] for p in prompts]
    with Server("--kv", kv, "--kv-memory", "32M", "--slots", "3", "--chunk", "48", model=tiny(model)) as s:
        reused = 0
        for _ in range(2):
            answers = [s.complete(p, 24) for p in prompts]
            assert [text_of(a) for a in answers] == wanted
            reused += sum(map(cached, answers))
        assert reused > 0
        with ThreadPoolExecutor(len(prompts)) as pool:
            assert [text_of(a) for a in pool.map(lambda p: s.complete(p, 24), prompts)] == wanted


def test_prefix_of_a_running_answer():
    """It is used while it runs, and neither disturbs the other."""
    prompt = words("shared", 80)
    wanted = run(prompt, 300, *bias_args(ENDLESS))["text"][:-4]
    with Server(*LONG) as s, s.endless(prompt) as running:
        got = s.complete(prompt, 24)
        assert text_of(got) == run(prompt, 24)["text"] and cached(got) > got["usage"]["prompt_tokens"] // 2
        text = running.began
        while len(text) < len(wanted):
            text += delta_text(next(running))
        assert text[:len(wanted)] == wanted


# ---- many at once ---------------------------------------------------------------------------------------------------------

def test_many_clients_at_once():
    """More than there are slots, long and short prompts, streamed and whole: each as if it was alone."""
    prompts = [(words(f"c{i % 5}", 1 + 23 * i % 150) + f" {i}", 8 + 5 * i) for i in range(16)]
    wanted = [run(p, n)["text"] for p, n in prompts]

    def ask(job):
        i, (prompt, n) = job
        if i % 2:
            return text_of(s.complete(prompt, n))
        with s.stream(COMPLETIONS, {"prompt": prompt, "max_tokens": n, "temperature": 0}) as stream:
            return "".join(map(delta_text, stream))

    with Server("--slots", "4", "--chunk", "32", "--kv-memory", "64M") as s:
        with ThreadPoolExecutor(len(prompts)) as pool:
            assert list(pool.map(ask, enumerate(prompts))) == wanted
        assert [text_of(s.complete(p, n)) for p, n in prompts] == wanted
        m = s.metrics()
        assert m["kvasir_requests_running"] == m["kvasir_requests_queued"] == 0


def test_small_kv_memory():
    """One answer fits at a time: all are given, one after the other, and the budget is never crossed."""
    prompts = [f"{word} and then" for word in ("river", "stone", "bread", "market", "hill", "memory")[:2 if SHORT else 6]]
    wanted = [run(p, 440, "--ctx", "512", *bias_args(ENDLESS))["text"] for p in prompts]
    with Server("--ctx", "512", "--kv-memory", "400K", "--slots", "4") as s, ThreadPoolExecutor(len(prompts)) as pool:
        answers = [pool.submit(s.complete, p, 440, logit_bias=ENDLESS) for p in prompts]
        while not all(a.done() for a in answers):
            m = s.metrics()
            assert m["kvasir_requests_running"] <= 1
            held = [m[f'kvasir_kv_bytes{{state="{state}"}}'] for state in ("used", "kept", "budget")]
            assert max(held) == held[2] == 400 << 10
            time.sleep(0.01)
        assert [text_of(a.result()) for a in answers] == wanted
        assert s.metrics()["kvasir_evictions_total"] > 0


def test_queue_full():
    with Server("--slots", "1", "--queue", "0", *LONG) as s:
        with s.endless():
            for more in ({}, {"stream": True}):
                answer = s.ask("POST", COMPLETIONS, {"prompt": "y", "max_tokens": 2, **more})
                refused(answer, 429, "queue_full")
                assert answer.headers["Retry-After"] == "1"
            assert s.lives() and s.get("/v1/models")
        wait_for(lambda: s.metrics()["kvasir_requests_running"] == 0, "the end of an answer that nobody reads")
        assert text_of(s.complete("y")) == run("y")["text"]


def test_queue_of_one():
    with Server("--slots", "1", "--queue", "1", *LONG) as s, ThreadPoolExecutor(1) as pool:
        with s.endless():
            queued = pool.submit(s.complete, "y")
            wait_for(lambda: s.metrics()["kvasir_requests_queued"] == 1, "a queued request")
            assert s.metrics()["kvasir_requests_running"] == 1
            refused(s.ask("POST", COMPLETIONS, {"prompt": "z"}), 429, "queue_full")
            assert not queued.done()
        assert text_of(queued.result()) == run("y")["text"] and queued.result()["timings"]["queue_ms"] > 0


def test_client_that_leaves_frees_its_slot():
    """With one slot, what waits behind it is answered; what waited and left is not."""
    with Server("--slots", "1", *LONG) as s, ThreadPoolExecutor(1) as pool:
        with s.endless():
            gone = s.stream(COMPLETIONS, {"prompt": "never", "temperature": 0, "logit_bias": ENDLESS})
            assert gone.first_comment() == "queued"
            waiting = pool.submit(s.complete, "y")
            wait_for(lambda: s.metrics()["kvasir_requests_queued"] == 2, "two queued requests")
            gone.close()
            wait_for(lambda: s.metrics()["kvasir_requests_queued"] == 1, "the end of a queued request that was given up")
        assert text_of(waiting.result()) == run("y")["text"]
        assert s.metrics()["kvasir_disconnects_total"] >= 1
        for i in range(5):
            before = s.metrics()["kvasir_disconnects_total"]
            s.endless(f"again {i}").close()
            wait_for(lambda: s.metrics()["kvasir_disconnects_total"] > before, "the count of disconnects")
            wait_for(lambda: s.metrics()["kvasir_requests_running"] == 0, "a free slot")
        assert text_of(s.complete("z")) == run("z")["text"]


def test_client_that_leaves_without_a_stream():
    """Also one that waits for a whole answer."""
    body = json.dumps({"prompt": "x", "temperature": 0, "logit_bias": ENDLESS}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    with Server("--slots", "1", *LONG) as s:
        with socket.create_connection(("127.0.0.1", s.port), timeout=WAIT) as client:
            client.sendall(head + body)
            wait_for(lambda: s.metrics()["kvasir_requests_running"] == 1, "a running request")
        wait_for(lambda: s.metrics()["kvasir_disconnects_total"] == 1, "the count of disconnects")
        assert text_of(s.complete("y")) == run("y")["text"]


@pytest.mark.skipif(SHORT, reason="long, and run without sanitizers")
def test_long_prompt_takes_turns():
    """While it is read, comments say how far, others are answered, and leaving ends it."""
    ids = [97 + i % 26 for i in range(100_000)]
    with Server("--slots", "2", *LONG) as s:
        with s.stream(COMPLETIONS, {"prompt": ids, "max_tokens": 4}) as stream:
            done, total = map(int, re.fullmatch(r"prefill (\d+)/(\d+)", stream.first_comment()).groups())
            assert 0 <= done < total == len(ids)
            assert text_of(s.complete("short")) == run("short")["text"]
        wait_for(lambda: s.metrics()["kvasir_requests_running"] == 0, "the end of a prompt that was given up")
        assert s.metrics()["kvasir_disconnects_total"] == 1
        assert text_of(s.complete("short")) == run("short")["text"]


# ---- streams ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("usage", [None, False, True])
@pytest.mark.parametrize("more", [{"logit_bias": ENDLESS}, {}, {"logit_bias": {str(EOS): 100}}], ids=["letters", "bytes", "end"])
def test_chat_stream(server, usage, more):
    whole = server.chat("Tell me", 24, **more)
    options = {} if usage is None else {"stream_options": {"include_usage": usage}}
    with server.stream(CHAT, {"messages": as_messages("Tell me"), "max_tokens": 24, "temperature": 0, **more, **options}) as stream:
        events = events_of(stream)
    assert events[0]["object"] == "chat.completion.chunk" and events[0]["id"].startswith("chatcmpl-") and events[0]["model"] == NAME
    if usage:
        last = events.pop()
        assert last["choices"] == []
        check(last["usage"], USAGE)
        check(last["timings"], TIMINGS)
        for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert last["usage"][key] == whole["usage"][key]
    assert not any(e.get("usage") for e in events)
    choices = [e["choices"][0] for e in events]
    assert all(len(e["choices"]) == 1 and e["choices"][0]["index"] == 0 for e in events)
    assert choices[0]["delta"] == {"role": "assistant", "content": ""} and choices[-1]["delta"] == {}
    assert all(set(c["delta"]) == {"content"} for c in choices[1:-1])
    assert [c["finish_reason"] for c in choices] == [None] * (len(choices) - 1) + [finish_of(whole)]
    assert "".join(c["delta"]["content"] for c in choices[1:-1]) == text_of(whole)
    if "97" in more.get("logit_bias", {}):
        assert len(choices) > 6, "token by token"


@pytest.mark.parametrize("usage", [False, True])
def test_completion_stream(server, usage):
    wanted = run("the river", 24)
    body = {"prompt": "the river", "max_tokens": 24, "temperature": 0, "stream_options": {"include_usage": usage}}
    with server.stream(COMPLETIONS, body) as stream:
        events = events_of(stream)
    assert events[0]["object"] == "text_completion" and events[0]["id"].startswith("cmpl-")
    if usage:
        last = events.pop()
        assert last["choices"] == [] and last["usage"]["completion_tokens"] == wanted["generated_tokens"]
    assert "".join(e["choices"][0]["text"] for e in events) == wanted["text"]
    assert [e["choices"][0]["finish_reason"] for e in events][:-1] == [None] * (len(events) - 1)
    assert events[-1]["choices"][0]["finish_reason"] in ("length", "stop")


def test_stop_string_in_a_stream(server):
    """Nothing of it is shown, though it spans several tokens."""
    _, fields, whole, stop = stopping()
    with server.stream(COMPLETIONS, {"prompt": "hello", "max_tokens": 60, **fields, "stop": ["never there", stop]}) as stream:
        events = events_of(stream)
    assert "".join(map(delta_text, events)) == whole[:whole.index(stop)]
    assert events[-1]["choices"][0]["finish_reason"] == "stop"


# ---- other paths ----------------------------------------------------------------------------------------------------------

def test_models(server, small):
    document = server.get("/v1/models").json
    check(document, MODELS)
    assert document["object"] == "list" and len(document["data"]) == 1
    wanted = {"id": NAME, "object": "model", "owned_by": "kvasir", "ctx": 4096, "ctx_train": 4096, "kv_k": "f16", "kv_v": "f16",
              "file_bytes": os.path.getsize(tiny(NAME))}
    assert document["data"][0] | wanted == document["data"][0]
    one = small.get("/v1/models").json["data"][0]
    assert (one["id"], one["ctx"], one["ctx_train"]) == ("small", 64, 4096) and small.name == "small" and server.name == NAME


def test_tokenize_and_back(server):
    for text in ("", "hello", "Hello, world!\n  two spaces, tabs\t, 日本語 and 🙂\n", "the river " * 500):
        ids = server.post("/tokenize", {"content": text})["tokens"]
        if text:
            assert ids == kvasir_json("tokenize", tiny(NAME), "--no-bos", "-p", text)["ids"]
        assert server.post("/detokenize", {"tokens": ids}) == {"content": text, "prompt": text}
    assert server.post("/tokenize", {"content": "<|eos|>"})["tokens"] == [EOS]
    assert EOS not in server.post("/tokenize", {"content": "<|eos|>", "parse_special": False})["tokens"]
    assert server.post("/tokenize", {"content": "a", "add_special": True, "parse_special": None})["tokens"] == [97]
    assert "content" in server.post("/detokenize", {"tokens": [0xe6]}), "half a character"


@pytest.mark.parametrize("path, body, param", [
    ("/tokenize", {}, "content"), ("/tokenize", {"content": 5}, "content"),
    ("/tokenize", {"content": "x", "add_special": "x"}, "add_special"),
    ("/tokenize", {"content": "x", "parse_special": 1}, "parse_special"),
    ("/detokenize", {}, "tokens"), *(("/detokenize", {"tokens": t}, "tokens") for t in ("x", [320], [-1], ["x"])),
    ("/apply-template", {}, "messages"), *(("/apply-template", {"messages": m}, "messages") for m in ([], [5], "x")),
])
def test_refused_texts(server, path, body, param):
    refused(server.ask("POST", path, body), 400, "invalid_value", param)


def test_metrics(server):
    answer = server.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    before = metrics_of(answer.body.decode())
    for name in ("prompt_tokens_total", "cached_tokens_total", "generated_tokens_total", "requests_running", "requests_queued",
                 "ttft_seconds_count", "ttft_seconds_sum", "token_seconds_count", "token_seconds_sum", "disconnects_total",
                 "evictions_total", "uptime_seconds"):
        assert f"kvasir_{name}" in before
    prompt = words("metric", 60)
    answers = [server.complete(prompt, 9, logit_bias=ENDLESS) for _ in range(2)]
    refused(server.ask("POST", COMPLETIONS, {}), 400)

    def grown(name):
        return server.metrics().get(name, 0) - before.get(name, 0)

    wait_for(lambda: grown("kvasir_generated_tokens_total") == 18, "the count of generated tokens")
    both, reused = sum(a["usage"]["prompt_tokens"] for a in answers), sum(map(cached, answers))
    assert grown("kvasir_prompt_tokens_total") in (both, both - reused) and grown("kvasir_cached_tokens_total") == reused > 0
    assert grown('kvasir_requests_total{code="200"}') >= 2
    assert grown('kvasir_requests_total{code="400"}') == 1
    assert grown("kvasir_ttft_seconds_count") == 2 and grown("kvasir_token_seconds_count") > 0
    assert grown("kvasir_uptime_seconds") >= 0
    after = server.metrics()
    assert after["kvasir_requests_running"] == after["kvasir_requests_queued"] == 0
    assert after['kvasir_kv_bytes{state="kept"}'] > 0 and after['kvasir_kv_bytes{state="budget"}'] == 64 * MIB
    for name in ("kvasir_ttft_seconds", "kvasir_token_seconds"):
        found = [(re.fullmatch(name + r'_bucket\{le="([^"]+)"\}', key), value) for key, value in after.items()]
        buckets = [(float(match[1]), value) for match, value in found if match]
        assert len(buckets) > 2 and buckets == sorted(buckets) and buckets[-1] == (float("inf"), after[f"{name}_count"])
        assert [n for _, n in buckets] == sorted(n for _, n in buckets), "buckets are cumulative"


# ---- starting, stopping, configuration ------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping(number):
    with Server() as s:
        s.complete("x", 2)
        s.stop(number=number)
        with pytest.raises(ConnectionError):
            s.get("/health")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_answers_are_finished(number):
    """All tokens and [DONE] come; what waits and what is new gets 503."""
    n = 4000 if SHORT else 20000
    body = {"prompt": "x", "max_tokens": n, "temperature": 0, "logit_bias": ENDLESS, "stream_options": {"include_usage": True}}
    with Server("--slots", "1", *LONG) as s, s.stream(COMPLETIONS, body) as stream, ThreadPoolExecutor(1) as pool:
        stream.first_text()
        queued = pool.submit(s.ask, "POST", COMPLETIONS, {"prompt": "y"})
        wait_for(lambda: s.metrics()["kvasir_requests_queued"] == 1, "a queued request")
        s.send_signal(number)
        refused(queued.result(), 503, "shutting_down")
        assert s.get("/health", code=503).json == {"status": "stopping"}
        refused(s.ask("POST", COMPLETIONS, {"prompt": "z"}), 503, "shutting_down")
        events = list(stream)
        assert events[-1] == "[DONE]" and events[-2]["usage"]["completion_tokens"] == n
        assert events[-3]["choices"][0]["finish_reason"] == "length"
        s.ended(0)


def test_second_signal_ends_at_once():
    with Server("--slots", "1", *LONG) as s, s.endless():
        s.send_signal(signal.SIGTERM)
        wait_for(lambda: s.ask("GET", "/health").status == 503, "stopping")
        s.stop(130)


def test_port_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = kvasir("serve", tiny(NAME), "--port", port, code=1, timeout=WAIT).stderr.decode()
        assert message.startswith("kvasir: ") and str(port) in message and "serving" not in message


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_public_host_needs_keys(host):
    message = kvasir("serve", tiny(NAME), "--port", "0", "--host", host, code=2, timeout=WAIT).stderr
    assert b"--host" in message and b"--api-key-file" in message


def test_public_host_with_keys(keys):
    with Server("--host", "0.0.0.0", "--api-key-file", keys) as s:
        assert s.host == "0.0.0.0"
        s.complete("x", 2, headers=bearer("key-one"))
        refused(s.ask("POST", COMPLETIONS, {"prompt": "x"}), 401)


def test_loopback_of_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with Server("--host", "::1") as s:
        assert s.host == "[::1]" and s.lives() and text_of(s.complete("x")) == run("x")["text"]


@pytest.mark.parametrize("text", ["", "\n\n", "# only\n#comments\n"])
def test_no_keys_in_the_file(tmp_path, text):
    (tmp_path / "keys").write_text(text)
    for host in ("127.0.0.1", "0.0.0.0"):
        args = ["--port", "0", "--host", host, "--api-key-file", tmp_path / "keys"]
        assert str(tmp_path / "keys").encode() in kvasir("serve", tiny(NAME), *args, code=2, timeout=WAIT).stderr


@pytest.mark.parametrize("args", [
    ["--host", "localhost"], ["--host", "999.0.0.1"], ["--port", "65536"], ["--port", "-1"], ["--port", "x"], ["--slots", "0"],
    ["--queue", "-1"], ["--max-tokens", "-5"], ["--kv", "nonsense"], ["--nonsense"]])
def test_wrong_usage(args):
    done = kvasir("serve", tiny(NAME), *(["--port", "0"] if "--port" not in args else []), *args, code=2, timeout=WAIT)
    assert done.stdout == b"" and done.stderr.startswith(b"kvasir")


def test_models_that_cannot_be_served(tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\xff" * 100)
    assert b"bad.gguf" in kvasir("serve", tmp_path / "bad.gguf", "--port", "0", code=3, timeout=WAIT).stderr
    kvasir("serve", tiny(NAME), "--port", "0", "--ctx", "4K", "--kv-memory", "16K", code=4, timeout=WAIT)
    kvasir("serve", code=2, timeout=WAIT)


def test_configuration(tmp_path):
    """What kvasir tune writes is taken; options win; its draft has no effect."""
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"schema": "kvasir.config/1", "ctx": 300, "kv_k": "q8", "kv_v": "q4", "threads": 1, "chunk": 64,
                                "draft": "lookup", "kv_memory_bytes": MIB}))
    prompt = words("config", 20)
    with Server("--config", path) as s:
        one = s.get("/v1/models").json["data"][0]
        assert (one["ctx"], one["kv_k"], one["kv_v"]) == (300, "q8", "q4")
        assert s.metrics()['kvasir_kv_bytes{state="budget"}'] == MIB
        assert text_of(s.complete(prompt)) == run(prompt, 16, "--config", str(path))["text"]
    with Server("--config", path, "--ctx", "200", "--kv", "f32", "--kv-memory", "2M") as s:
        one = s.get("/v1/models").json["data"][0]
        assert (one["ctx"], one["kv_k"], one["kv_v"]) == (200, "f32", "f32")
        assert s.metrics()['kvasir_kv_bytes{state="budget"}'] == 2 * MIB
    path.write_text('{"schema": "kvasir.config/1", "ctx": 0}')
    assert b"c.json" in kvasir("serve", tiny(NAME), "--port", "0", "--config", path, code=2, timeout=WAIT).stderr


LOGGED = {"method": str, "path": str, "status": int, "prompt_tokens": int, "cached_tokens": int, "generated_tokens": int,
          "ms": NUMBER}


@pytest.mark.parametrize("where", ["file", "stderr"])
def test_access_log(tmp_path, keys, where):
    """A line for each request; neither texts nor keys are in it."""
    path = tmp_path / "access.log"
    with Server("--access-log", path if where == "file" else "-", "--api-key-file", keys) as s:
        headers = bearer("key-one")
        answers = [s.complete(words("confidential", 60), 8, headers) for _ in range(2)]
        body = {"prompt": "confidential too", "max_tokens": 5, "temperature": 0, "logit_bias": ENDLESS}
        with s.stream(COMPLETIONS, body, headers) as stream:
            events_of(stream)
        s.lives()
        s.ask("GET", "/nope")
        s.ask("POST", CHAT, {}, headers)
        s.ask("POST", CHAT, {}, bearer("key-wrong"))
    text = path.read_text() if where == "file" else "\n".join(line for line in s.stderr().splitlines() if line.startswith("{"))
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(e["method"], e["path"], e["status"]) for e in lines] == [("POST", COMPLETIONS, 200)] * 3 + [
        ("GET", "/health", 200), ("GET", "/nope", 404), ("POST", CHAT, 400), ("POST", CHAT, 401)]
    for entry, answer in zip(lines, answers):
        check({k: entry[k] for k in LOGGED}, LOGGED)
        usage = answer["usage"]
        assert (entry["prompt_tokens"], entry["cached_tokens"], entry["generated_tokens"]) == \
            (usage["prompt_tokens"], cached(answer), usage["completion_tokens"])
    assert lines[2]["generated_tokens"] == 5 and all(e["ms"] >= 0 for e in lines)
    assert "confidential" not in text and "key-" not in text


# ---- a real model ---------------------------------------------------------------------------------------------------------

QUESTIONS = ["Why is the sky blue?", "Name three rivers.", "What is a lighthouse for?"]


def test_real_model(smollm):
    """Its own template; one at a time, from what is kept, all at once and streamed: what `run` answers."""
    wanted = [kvasir_json("run", smollm, "-p", q, "-n", "24", "--ctx", "2K", *GREEDY)["text"] for q in QUESTIONS]
    with Server("--ctx", "2K", "--kv-memory", "256M", model=smollm, template=None) as s, ThreadPoolExecutor(len(QUESTIONS)) as pool:
        assert s.name == "smollm2-135m-q4_1"
        for _ in range(2):
            answers = [s.chat(q, 24) for q in QUESTIONS]
            assert list(map(text_of, answers)) == wanted
        assert all(cached(a) > 0 for a in answers)
        assert [text_of(a) for a in pool.map(lambda q: s.chat(q, 24), QUESTIONS)] == wanted
        with s.stream(CHAT, {"messages": as_messages(QUESTIONS[0]), "max_tokens": 24, "temperature": 0}) as stream:
            assert "".join(map(delta_text, events_of(stream))) == wanted[0]


def test_conversation_with_a_real_model(smollm):
    messages = [{"role": "system", "content": "You answer in one sentence."}, {"role": "user", "content": QUESTIONS[0]}]
    with Server("--ctx", "2K", "--kv-memory", "256M", model=smollm, template=None) as s:
        first = s.chat(messages, 16)
        messages += [{"role": "assistant", "content": text_of(first)}, {"role": "user", "content": "Are you sure?"}]
        second = s.chat(messages, 16)
        assert cached(second) >= first["usage"]["prompt_tokens"] - 8
        prompt = s.post("/apply-template", {"messages": messages})["prompt"]
        assert text_of(second) == kvasir_json("run", smollm, "--raw", "-p", prompt, "-n", "16", "--ctx", "2K", *GREEDY)["text"]
