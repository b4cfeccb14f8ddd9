"""kvasir serve under load and shortage: memory, floods, hostile framing."""
import json
import os
import random
import re
import resource
import socket
import time
from pathlib import Path

import pytest

from conftest import SHORT, kvasir, tiny
from serving import ERROR, MIB, WAIT, Server, cached, finish_of, wait_for, words
from shapes import check


@pytest.mark.parametrize("kv, memory", [("f16", "1M"), ("q8", "1M"), ("q4", "1300K")])
def test_admitted_answers_reach_the_end_of_the_context(kv, memory):
    """The context is chosen to fit the budget; so does the mark at the end of the prompt, wherever that is."""
    ids = random.Random(3)
    with Server("-t", "1", "--kv-memory", memory, "--kv", kv, "--slots", "1", model=tiny("gemma3"), template=None) as s:
        ctx = s.get("/v1/models").json["data"][0]["ctx"]
        for share in (0.1, 0.5, 0.9):
            prompt = [ids.randrange(300) for _ in range(int(ctx * share))]
            answer = s.complete(prompt, ctx)
            assert finish_of(answer) in ("length", "stop")
            if finish_of(answer) == "length":
                assert answer["usage"]["total_tokens"] == ctx + 1


def test_marks_go_before_a_step_fails():
    """A context that fits the budget without its mark is full before anything fails."""
    prompt = " ".join(random.Random(1).choice(["ab", "cd", "ef", "gh"]) for _ in range(60))
    kvasir("run", tiny("gemma3"), "--raw", "-p", prompt, "--ignore-eos", "--temp", "0", "--kv-memory", "1M", "-t", "1", "--ctx", 3200,
           "--no-progress")


def test_shared_blocks_count_once():
    """Many conversations with one beginning fit a pool that could not hold each of them whole."""
    begin = words("common", 200)
    with Server("-t", "1", "--ctx", "4096", "--kv-memory", "3M", "--slots", "2") as s:
        for i in range(12):
            answer = s.complete(begin + words(f"tail{i}", 20), 4)
            assert i == 0 or cached(answer) > 1000
        metrics = s.metrics()
        assert metrics["kvasir_evictions_total"] == 0 and metrics["kvasir_sequences_kept"] == 12
        assert metrics['kvasir_kv_bytes{state="kept"}'] > metrics['kvasir_kv_bytes{state="budget"}']


# ---- framing: what is refused ends the connection, in the documented JSON

HOST = b"Host: localhost\r\n"
BEHIND = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"


def answers(server, data):
    """All that comes back until the server closes: (status, body) of each answer."""
    got = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as s:
        s.sendall(data)
        while piece := s.recv(65536):
            got += piece
    found = []
    while got:
        head, _, rest = got.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
        assert b"application/json" in head and b"connection: close" in head.lower(), head
        found.append((int(head.split()[1]), json.loads(rest[:length])))
        got = rest[length:]
    return found


FRAMING = {
    "gzip": (b"POST /tokenize HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n{}", 400),
    "chunked twice": (b"POST /tokenize HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (b"POST /tokenize HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    "length with a sign": (b"POST /tokenize HTTP/1.1\r\n" + HOST + b"Content-Length: +2\r\n\r\n{}", 400),
    "length of a GET": (b"GET /health HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\n", 400),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /health HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "no length": (b"POST /tokenize HTTP/1.1\r\n" + HOST + b"Content-Length: x\r\n\r\n{}", 400),
    "length and encoding": (b"POST /tokenize HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 400),
    "no request": (b"garbage\r\n\r\n", 400),
    "version": (b"GET / HTTP/3.0\r\n" + HOST + b"\r\n", 400),
    "method": (b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "headers": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 40000 + b"\r\n\r\n", 400),
    "expectation": (b"POST /tokenize HTTP/1.1\r\n" + HOST + b"Expect: more\r\nContent-Length: 2\r\n\r\n{}", 417),
    "size": (b"POST /tokenize HTTP/1.1\r\n" + HOST + b"Content-Length: 999999999\r\n\r\n", 413),
}


@pytest.mark.parametrize("name", FRAMING)
def test_nothing_behind_a_refused_request_is_answered(server, name):
    data, status = FRAMING[name]
    (code, document), = answers(server, data + BEHIND)
    assert code == status
    check(document, ERROR)
    assert document["error"]["message"] and document["error"]["type"] == ("server_error" if status > 499 else "invalid_request_error")
    assert server.lives()


def test_the_answer_before_a_refused_request_stays(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as s:
        s.sendall(BEHIND + FRAMING["method"][0])
        got = b""
        while piece := s.recv(65536):
            got += piece
    first, _, second = got.partition(b"HTTP/1.1 501 ")
    assert first.endswith(b'{"status":"ok"}\n') and b"HTML" not in got and b"method_not_implemented" in second


# ---- floods

def resident(server):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text())[1]) << 10


def test_bodies_of_all_connections_have_a_limit():
    head = b"POST /v1/completions HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % (64 * MIB)
    with Server("-t", "1", "--ctx", "512") as s:
        before, open_ones = resident(s), []
        for _ in range(10):
            one = socket.create_connection(("127.0.0.1", s.port), timeout=WAIT)
            open_ones.append(one)
            try:
                one.sendall(head + b"x" * (50 * MIB))
            except ConnectionError:
                pass  # closed: it was too much
        assert s.lives()
        if not SHORT:  # a sanitizer keeps what was freed
            assert resident(s) - before < 300 * MIB
        for one in open_ones:
            one.close()
        if not SHORT:
            wait_for(lambda: resident(s) - before < 40 * MIB, "memory that goes back")
        assert s.lives()


def test_json_values_have_a_limit():
    with Server("-t", "1", "--ctx", "512") as s:
        for body in (b'{"x":[' + b"[]," * (4 * MIB) + b"1]}", b'{"prompt":[' + b"1," * (4 * MIB) + b"1]}"):
            answer = s.ask("POST", "/v1/completions", body)
            assert answer.status == 413 and answer.json["error"]["code"] == "body_too_large"
        many = s.ask("POST", "/v1/completions", {"prompt": [5] * 3000})  # within the limit: said with both numbers
        assert many.status == 400 and many.json["error"]["code"] == "context_length_exceeded"


def test_the_listener_pauses_without_descriptors():
    with Server("-t", "1", "--ctx", "512") as s:
        resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (24, 24))
        crowd = [socket.create_connection(("127.0.0.1", s.port), timeout=WAIT) for _ in range(60)]
        time.sleep(0.5)
        stat = Path(f"/proc/{s.process.pid}/stat")
        used = lambda: sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13]))
        before = used()
        time.sleep(1.5)
        assert (used() - before) / os.sysconf("SC_CLK_TCK") < 0.5  # a listener that spins takes all of it
        for one in crowd:
            one.close()
        assert s.lives()
