"""kvasir serve: requests that are refused, web pages of other origins, hostile clients, keys."""
import json
import re
import signal
import socket
from unittest.mock import ANY

import pytest

from serving import (
    CHAT, COMPLETIONS, MIB, NAME, WAIT, Server, bearer, cached, delta_text, events_of, refused, run, text_of, wait_for, words)

USER = {"role": "user", "content": "x"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}

INVALID = [  # of both kinds of requests
    {"max_tokens": -2}, {"max_tokens": 1 << 40}, {"max_tokens": 1.5}, {"max_tokens": "5"}, {"max_tokens": True}, {"max_tokens": [5]},
    {"max_completion_tokens": -2}, {"max_completion_tokens": "5"}, {"n_predict": 1.5}, {"min_tokens": -1}, {"ignore_eos": 1},
    {"max_completion_tokens": 5}, {"n_predict": 5},  # the request has max_tokens, another number
    {"temperature": -0.5}, {"temperature": 101}, {"temperature": "hot"}, {"temperature": True},
    {"top_p": -0.5}, {"top_p": 1.5}, {"top_p": "x"}, {"top_k": 1.5}, {"top_k": "x"}, {"min_p": -1}, {"min_p": 2}, {"min_p": []},
    {"seed": "x"}, {"seed": 1.5}, {"stop": "a\0"}, {"stop": ["a", 5]}, {"stop": 5}, {"stop": {"a": 1}},
    {"stop": [f"s{i}" for i in range(17)]}, {"frequency_penalty": 2.5}, {"frequency_penalty": "x"}, {"presence_penalty": -2.5},
    {"presence_penalty": {}}, {"repeat_penalty": -1}, {"repeat_penalty": "x"},
    {"logit_bias": 5}, {"logit_bias": [1]}, {"logit_bias": {"x": 1}}, {"logit_bias": {"-1": 1}}, {"logit_bias": {"320": 1}},
    {"logit_bias": {"5": 101}}, {"logit_bias": {"5": -101}}, {"logit_bias": {"5": "x"}}, {"logit_bias": {"5x": 1}},
    {"stream": "yes"}, {"stream": 1}, {"stream_options": 5}, {"stream": True, "stream_options": {"include_usage": "x"}},
    {"model": 5}, {"model": [NAME]},
]
UNSUPPORTED = [
    {"n": 2}, {"top_logprobs": 3}, {"tools": [TOOL]}, {"functions": [{"name": "f"}]}, {"tool_choice": "required"},
    {"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"response_format": {"type": "json_object"}},
    {"response_format": {"type": "json_schema", "json_schema": {}}}, {"logprobs": True}, {"logprobs": 5}, {"logprobs": 0},
]
OF_CHAT = [
    {"messages": None}, {"messages": []}, {"messages": "x"}, {"messages": USER}, {"messages": [1]}, {"messages": [[USER]]},
    {"messages": [{"content": "x"}]}, {"messages": [{"role": 5, "content": "x"}]},
    *({"messages": [USER, {"role": "user", "content": content}]}
      for content in (5, {"a": 1}, ["x"], [{"type": "text"}], [{"type": "text", "text": 5}])),
]
PARTS = [{"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, part]}]} for part in (IMAGE, AUDIO)]
OF_COMPLETIONS = [{"prompt": p} for p in (None, 5, {"a": 1}, [1, "a"], [1.5], [-1], [320], [1 << 40])]
NO_PROMPTS = [{"prompt": p} for p in ("", [], ["a", "b"], [[1, 2], [3]])]
REFUSED = [(path, change, code, list(change)[-1]) for path in (CHAT, COMPLETIONS)
           for code, changes in (("invalid_value", INVALID), ("unsupported", UNSUPPORTED)) for change in changes]
REFUSED += [(CHAT, change, "invalid_value", "messages") for change in OF_CHAT]
REFUSED += [(CHAT, change, "unsupported", "messages") for change in PARTS]
REFUSED += [(COMPLETIONS, change, "invalid_value", "prompt") for change in OF_COMPLETIONS]
REFUSED += [(COMPLETIONS, change, None, "prompt") for change in NO_PROMPTS]
REFUSED += [(COMPLETIONS, change, "unsupported", list(change)[0]) for change in ({"best_of": 2}, {"echo": True}, {"suffix": "x"})]


@pytest.mark.parametrize("path, change, code, param", REFUSED, ids=lambda v: json.dumps(v)[:60] if isinstance(v, dict) else None)
def test_refused_fields(server, path, change, code, param):
    body = {"messages": [USER]} if path == CHAT else {"prompt": "x"}
    refused(server.ask("POST", path, {"max_tokens": 4, **body, **change}), 400, code, param)


def test_error_of_a_stream_is_no_stream(server):
    refused(server.ask("POST", CHAT, {"messages": [USER], "stream": True, "max_tokens": -2}), 400, "invalid_value", "max_tokens")


def test_other_model(server, small):
    assert NAME in refused(server.ask("POST", CHAT, {"model": "gpt-9", "messages": [USER]}), 404, "model_not_found")
    assert "small" in refused(small.ask("POST", COMPLETIONS, {"model": NAME, "prompt": "x"}), 404, "model_not_found")
    assert server.complete("x", 1, model=NAME)["model"] == NAME


@pytest.mark.parametrize("body", [
    b"", b"{", b"nonsense", b'{"prompt": "x"} more', b'{"prompt": "\xff\xfe"}', b"\xff\xfe", b'{"prompt": "\\ud800"}',
    b'{"prompt": "\xc0\x80"}', b"[" * 20_000, b'{"messages": ' + b"[" * 20_000, b'{"a":' * 20_000,
    b'{"prompt": "x", "temperature": 1e999}', b'{"prompt": "x", "max_tokens": 1' + b"0" * 400 + b"}", b"\0" * 100,
], ids=lambda b: repr(b[:20]))
def test_body_that_is_no_json(server, body):
    for path in (CHAT, COMPLETIONS, "/tokenize"):
        message = refused(server.ask("POST", path, body), 400, "invalid_json")
        assert "line" in message and "column" in message and re.search(r"\d", message)
    assert server.lives()


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"null", b"true"])
def test_body_that_is_no_object(server, body):
    for path in (CHAT, COMPLETIONS, "/tokenize", "/detokenize", "/apply-template"):
        assert server.ask("POST", path, body).status == 400


def test_nul_in_a_text(server):
    """What the server writes it takes back."""
    ids = server.post("/tokenize", {"content": "a\0b"})["tokens"]
    assert server.post("/detokenize", {"tokens": ids})["content"] == "a\0b" and 0 in ids
    assert server.complete("a\0b", 3) == {**server.complete(ids, 3), **{k: ANY for k in ("id", "created", "timings", "usage")}}
    assert server.post("/apply-template", {"messages": [{**USER, "content": "a\0b"}]})["prompt"] == "<user>a\0b</user>\n<assistant>"
    said = server.complete("x", 2, logit_bias={"0": 100})
    assert text_of(said) == "\0\0" and server.complete(text_of(said), 1)
    with server.stream(COMPLETIONS, {"prompt": "x", "max_tokens": 2, "temperature": 0, "logit_bias": {"0": 100}}) as stream:
        assert "".join(map(delta_text, events_of(stream))) == "\0\0"
    refused(server.ask("POST", COMPLETIONS, {"prompt": "x", "model": NAME + "\0"}), 404, "model_not_found")


def test_unknown_path(server):
    for path in ("/nope", "/", "/v1", "/v1/chat/completions/x", "/../etc/passwd"):
        refused(server.ask("GET", path), 404, "not_found")
        refused(server.ask("POST", path, {}), 404, "not_found")
    assert server.get("/health?x=1").json == {"status": "ok"}


@pytest.mark.parametrize("method, path, allowed", [
    ("GET", CHAT, "POST"), ("GET", COMPLETIONS, "POST"), ("GET", "/tokenize", "POST"), ("GET", "/detokenize", "POST"),
    ("GET", "/apply-template", "POST"), ("PUT", CHAT, "POST"), ("DELETE", CHAT, "POST"), ("POST", "/health", "GET"),
    ("POST", "/metrics", "GET"), ("POST", "/v1/models", "GET"), ("DELETE", "/v1/models", "GET")])
def test_other_method(server, method, path, allowed):
    answer = server.ask(method, path)
    refused(answer, 405)
    assert allowed in re.split(r",\s*", answer.headers["Allow"]) and method not in re.split(r",\s*", answer.headers["Allow"])


# ---- guards ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "127.0.0.1:65535", "[::1]", "[::1]:8080"])
def test_host_of_this_machine(server, host):
    assert server.get("/health", headers={"Host": host}).json == {"status": "ok"}


@pytest.mark.parametrize("host", ["example.com", "example.com:80", "127.0.0.1.example.com", "localhost.example.com",
                                  "example.com:localhost", "127.0.0.2", "localhostx", "xlocalhost", "[::2]", "::1", "0.0.0.0",
                                  "localhost@example.com"])
def test_other_host(server, host):
    """DNS rebinding: the page's own name comes with the request."""
    for method, path in (("GET", "/health"), ("POST", COMPLETIONS), ("GET", "/nope"), ("OPTIONS", CHAT)):
        refused(server.ask(method, path, headers={"Host": host}), 403, "host_not_allowed")


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://localhost", "http://127.0.0.1", "http://127.0.0.1:8080",
                                    "http://[::1]:5", "https://app.example", "http://other.example:81"])
def test_allowed_origin(server, origin):
    """Answers, errors, streams and the preflight all name it."""
    body = {"prompt": "x", "max_tokens": 2}
    with server.stream(COMPLETIONS, body, {"Origin": origin}) as stream:
        seen = [stream.headers]
        events_of(stream)
    seen += [server.ask("POST", COMPLETIONS, b, {"Origin": origin}).headers for b in (body, {})]
    preflight = server.ask("OPTIONS", CHAT, headers={"Origin": origin, "Access-Control-Request-Method": "POST",
                                                     "Access-Control-Request-Headers": "authorization,content-type"})
    assert preflight.status == 204 and preflight.body == b""
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert {"authorization", "content-type"} <= set(re.split(r",\s*", preflight.headers["Access-Control-Allow-Headers"].lower()))
    for headers in [*seen, preflight.headers]:
        assert headers.get_all("Access-Control-Allow-Origin") == [origin] and "origin" in headers["Vary"].lower()


@pytest.mark.parametrize("origin", [
    "http://evil.example", "https://evil.example:3000", "null", "http://localhost.evil.example", "http://evil.example/localhost",
    "http://localhost@evil.example", "http://127.0.0.1.evil.example:80", "https://app.example.evil.example", "http://app.example",
    "https://app.example:444", "http://other.example", "localhost.evil.example", "file://"])
def test_other_origin(server, origin):
    for method, path in (("GET", "/health"), ("POST", CHAT), ("OPTIONS", CHAT), ("GET", "/nope")):
        answer = server.ask(method, path, headers={"Origin": origin})
        refused(answer, 403, "origin_not_allowed")
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_no_origin(server):
    assert "Access-Control-Allow-Origin" not in server.get("/health").headers


def request(*headers, method="POST", path=COMPLETIONS, body=b'{"prompt": "x", "max_tokens": 1}', host=True):
    lines = [f"{method} {path} HTTP/1.1", *(["Host: localhost"] if host else []), *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


LENGTH = "Content-Length: 32"
CHUNKED = b'20\r\n{"prompt": "x", "max_tokens": 1}\r\n0\r\n\r\n'


def test_requests_as_bytes(server):
    """What the refused ones below are variations of; whole, in pieces, in chunks, and with Expect as curl sends it."""
    assert server.raw(request(LENGTH)) == 200
    assert server.raw(request(LENGTH), pieces=5) == 200
    assert server.raw(request("Transfer-Encoding: chunked", body=CHUNKED)) == 200
    assert server.raw(request(LENGTH, "Expect: 100-continue")) == 200


@pytest.mark.parametrize("data", [
    request(LENGTH, LENGTH), request(LENGTH, "content-length: 5"), request("Content-Length: 0", "X: y", LENGTH),
    request(LENGTH, "Transfer-Encoding: chunked", body=CHUNKED), request("Transfer-Encoding: chunked", LENGTH, body=CHUNKED),
    request(LENGTH, host=False), request(method="GET", path="/health", host=False, body=b""),
], ids=["twice", "two values", "apart", "length and chunks", "chunks and length", "no host", "no host of health"])
def test_ambiguous_requests(server, data):
    """What two programs on the way could read differently."""
    assert server.raw(data) == 400
    assert server.lives()


HOSTILE = {  # what may be answered besides closing the connection; None: any error
    "garbage": (b"GARBAGE\r\n\r\n", None),
    "zeros": (b"\0" * 1000 + b"\r\n\r\n", None),
    "all bytes": (bytes(range(256)) + b"\r\n\r\n", None),
    "empty lines": (b"\r\n" * 100 + b"GET\r\n\r\n", None),
    "version": (request(method="GET", path="/health", body=b"").replace(b"HTTP/1.1", b"HTTP/x.y"), None),
    "no colon": (request("no colon here", method="GET", body=b""), None),
    "chunk size": (request("Transfer-Encoding: chunked", body=b"zz\r\nnonsense\r\n"), None),
    "long header": (request("X-Long: " + "a" * (64 << 10), method="GET", path="/health", body=b""), [400]),
    "many headers": (request(*(f"X-{i}: {i}" for i in range(8000)), method="GET", path="/health", body=b""), [400]),
    "long path": (request(method="GET", path="/" + "a" * (64 << 10), body=b""), [400, 414]),
    "65 MiB": (request(f"Content-Length: {65 * MIB}"), [413]),
    "1 PB": (request(f"Content-Length: {10**15}"), [413]),
    "1e30": (request(f"Content-Length: {10**30}"), [400, 413]),
    "negative": (request("Content-Length: -5"), [400]),
    "no number": (request("Content-Length: many"), [400]),
}


@pytest.mark.parametrize("data, codes", HOSTILE.values(), ids=HOSTILE)
def test_hostile_requests(server, data, codes):
    """Refused, or the connection closed; nothing else is hurt."""
    status = server.raw(data)
    assert status is None or status >= 400
    if codes:
        assert status is None or status in codes
    assert server.lives()


LEAVING = {
    "nothing": b"", "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "line": b"GET /hea",
    "header": b"POST /v1/completions HTTP/1.1\r\nHost: loc", "body": request("Content-Length: 1000"),
    "chunk": request("Transfer-Encoding: chunked", body=b"20\r\n{"), "answer": request(LENGTH), "answers": request(LENGTH) * 50,
    "large body": request("Content-Length: 40000000", body=b" " * MIB),
}


@pytest.mark.parametrize("data", LEAVING.values(), ids=LEAVING)
def test_clients_that_leave_early(server, data):
    for _ in range(20):
        server.sends_and_leaves(data)
    assert server.lives() and text_of(server.complete("x")) == run("x")["text"]


def test_client_that_waits(server):
    """Connections that say nothing, or not enough, stand in nobody's way."""
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) for _ in range(50)]
    for i, s in enumerate(idle):
        s.sendall(request("Content-Length: 1000")[:i * 4])
    assert server.lives() and text_of(server.complete("x")) == run("x")["text"]
    for s in idle:
        s.close()
    assert server.lives()


# ---- keys ------------------------------------------------------------------------------------------------------------

def test_keys(keys):
    with Server("--api-key-file", keys, "--allow-origin", "https://app.example") as s:
        body = {"prompt": "x", "max_tokens": 2}
        for headers in ({}, bearer("key-three"), bearer(""), bearer("key-on"), bearer("key-onee"), bearer("# who may call"),
                        {"Authorization": "key-one"}, {"Authorization": "Basic key-one"}, {"x-api-key": "key"}, {"x-api-key": ""}):
            answers = [s.ask("POST", path, body, headers) for path in (COMPLETIONS, CHAT, "/tokenize")]
            answers += [s.ask("GET", path, headers=headers) for path in ("/v1/models", "/metrics")]
            for answer in answers:
                message = refused(answer, 401, "invalid_api_key")
                assert "key-one" not in message and "key-two" not in message
        for headers in (bearer("key-one"), bearer("key-two"), {"x-api-key": "key-one"}, {"x-api-key": "key-two"}):
            s.post(COMPLETIONS, body, headers=headers)
            s.get("/v1/models", headers=headers)
        assert s.lives() and s.get("/health", headers={"Host": "example.com"}), "a key is the guard then"
        s.post(COMPLETIONS, body, headers={**bearer("key-one"), "Host": "kvasir.example.com"})
        refused(s.ask("GET", "/nope"), 404, "not_found")
        refused(s.ask("GET", CHAT), 405)
        refused(s.ask("POST", CHAT, body, {**bearer("key-one"), "Origin": "http://evil.example"}), 403, "origin_not_allowed")
        assert s.ask("OPTIONS", CHAT, headers={"Origin": "https://app.example"}).status == 204, "a preflight has no key"
        answer = s.ask("POST", CHAT, body, {"Origin": "https://app.example"})
        refused(answer, 401)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "key-one" not in s.stderr() and "key-two" not in s.stderr()


def test_keys_are_read_anew(keys):
    with Server("--api-key-file", keys) as s:
        assert s.ask("GET", "/v1/models", headers=bearer("key-three")).status == 401
        keys.write_text("key-two\nkey-three\n")
        s.send_signal(signal.SIGHUP)
        wait_for(lambda: s.ask("GET", "/v1/models", headers=bearer("key-three")).status == 200, "the new key")
        assert s.ask("GET", "/v1/models", headers=bearer("key-two")).status == 200
        refused(s.ask("GET", "/v1/models", headers=bearer("key-one")), 401, "invalid_api_key")


def test_nothing_is_shared_across_keys(keys):
    """How fast an answer begins would say what others have asked."""
    prompt = words("secret", 80)
    with Server("--api-key-file", keys) as s:
        assert cached(s.complete(prompt, headers=bearer("key-one"))) == 0 == cached(s.complete(prompt, headers=bearer("key-two")))
        for headers in (bearer("key-one"), bearer("key-two"), {"x-api-key": "key-one"}):
            got = s.complete(prompt, headers=headers)
            assert cached(got) > got["usage"]["prompt_tokens"] // 2 and text_of(got) == run(prompt)["text"]
