"""`kvasir serve` as the tests use it: a server on a port of its own, and what is asked of it."""
import http.client
import json
import re
import signal
import socket
import subprocess
import threading
import time
from functools import lru_cache

import pytest

from conftest import BIN, TEMPLATE, environment, kvasir_json, tiny
from shapes import OPTIONAL_TEXT, check

MIB = 1 << 20
WAIT = 300  # seconds; only against hanging
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
GREEDY = ["--temp", "0"]
EOS = 318  # of the tiny model; ids below 256 are bytes
LETTERS = {str(i): 15 for i in range(ord("a"), ord("z") + 1)}
ENDLESS = {**LETTERS, str(EOS): -100}
LONG = ["--ctx", "128K", "--kv-memory", "512M", "-t", "1"]  # an answer that fills this context takes minutes
NAME = "llama-tied"

ERROR = {"error": {"message": str, "type": str, "param": OPTIONAL_TEXT, "code": OPTIONAL_TEXT}}
ERROR_TYPES = {**dict.fromkeys((400, 404, 405), "invalid_request_error"), 401: "authentication_error", 403: "permission_error",
               429: "rate_limit_error", 503: "server_error"}


def wait_for(condition, what):
    end = time.monotonic() + WAIT
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.02)
    return found


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        assert self.headers["Content-Type"].startswith("application/json")
        return json.loads(self.body)


class Stream:
    """A streamed answer: iterating gives the data of each event, objects and "[DONE]", as they come."""

    def __init__(self, server, path, body, headers):
        self.connection = server.connection()
        self.comments = []
        self.connection.request("POST", path, json.dumps({**body, "stream": True}), headers)
        self.socket = self.connection.sock
        self.response = self.connection.getresponse()
        if self.response.status != 200:
            raise AssertionError(f"{self.response.status}: {self.response.read()!r}")
        self.headers = self.response.headers
        assert self.headers["Content-Type"].startswith("text/event-stream")

    def __iter__(self):
        return self

    def line(self):
        """The next line, "" for an empty one and None at the end. A comment goes to self.comments as well."""
        line = self.response.readline()
        if not line:
            return None
        assert line.endswith(b"\n"), "the stream ends within a line"
        line = line.decode().rstrip("\r\n")
        if line.startswith(":"):
            self.comments.append(line[1:].strip())
            assert re.fullmatch(r"queued|prefill \d+/\d+", self.comments[-1]), line
        return line

    def __next__(self):
        data = []
        while (line := self.line()) is not None:
            if line == "" and data:
                text = "\n".join(data)
                return text if text == "[DONE]" else json.loads(text)
            if line and not line.startswith(":"):
                assert line.startswith("data: "), line
                data.append(line[len("data: "):])
        assert not data, "the stream ends within an event"
        raise StopIteration

    def first_comment(self):
        while not self.comments:
            line = self.line()
            assert line is not None and not line.startswith("data:"), "the answer came without a comment before it"
        return self.comments[0]

    def first_text(self):
        """Reads up to the first event with text: the answer is being computed."""
        for event in self:
            if delta_text(event):
                return delta_text(event)
        raise AssertionError("ended without text")

    def close(self):
        """The client goes away."""
        self.response.close()
        self.connection.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Server:
    """`kvasir serve` on a port that the system gives. At the end it is stopped by SIGTERM, or killed after a failure."""

    def __init__(self, *args, model=None, template=TEMPLATE):
        command = [BIN, "serve", model or tiny(NAME), "--port", "0", *map(str, args)]
        command += ["--template", template] if template else []
        self.lines, self.news, self.code = [], threading.Condition(), None
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env=environment())
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        try:
            self.name, self.host, port = self.expect(r"kvasir: serving (.+) on http://(.+):(\d+)").groups()
        except BaseException:
            self.kill()
            raise
        self.port = int(port)

    def read(self):
        for line in self.process.stderr:
            with self.news:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self.news.notify_all()
        with self.news:
            self.lines.append(None)
            self.news.notify_all()

    def expect(self, pattern):
        """Waits for a line on stderr."""
        seen, end = 0, time.monotonic() + WAIT
        with self.news:
            while True:
                for line in self.lines[seen:]:
                    assert line is not None, f"ended with {self.process.wait()} and without {pattern!r}: {self.stderr()}"
                    if match := re.fullmatch(pattern, line):
                        return match
                seen = len(self.lines)
                assert self.news.wait(max(0, end - time.monotonic())), f"{pattern!r} did not come: {self.stderr()}"

    def stderr(self):
        return "\n".join(line for line in self.lines if line is not None)

    def send_signal(self, number):
        self.process.send_signal(number)

    def ended(self, code=0):
        """Waits for the end and checks the exit status."""
        self.code = self.process.wait(timeout=WAIT)
        self.reader.join(WAIT)
        assert self.code == code, f"exit status {self.code}, not {code}: {self.stderr()}"

    def stop(self, code=0, number=signal.SIGTERM):
        self.send_signal(number)
        self.ended(code)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(WAIT)
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        try:
            if failure is None and self.code is None:
                self.stop()
        finally:
            self.kill()

    def connection(self):
        return http.client.HTTPConnection("::1" if self.host == "[::1]" else "127.0.0.1", self.port, timeout=WAIT)

    def ask(self, method, path, body=None, headers=None):
        """One request; a body that is no bytes is sent as JSON."""
        connection = self.connection()
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, code=200, headers=None):
        answer = self.ask("GET", path, headers=headers)
        assert answer.status == code, answer.body
        return answer

    def post(self, path, body, code=200, headers=None):
        answer = self.ask("POST", path, body, headers)
        assert answer.status == code, answer.body
        return answer.json

    def stream(self, path, body, headers=None):
        return Stream(self, path, body, headers or {})

    def complete(self, prompt, n=16, headers=None, **more):
        """The greedy continuation of a prompt."""
        return self.post(COMPLETIONS, {"prompt": prompt, "max_tokens": n, "temperature": 0, **more}, headers=headers)

    def chat(self, messages, n=16, **more):
        return self.post(CHAT, {"messages": as_messages(messages), "max_tokens": n, "temperature": 0, **more})

    def endless(self, prompt="x", **more):
        """A stream that is being answered and goes on until the client leaves."""
        stream = self.stream(COMPLETIONS, {"prompt": prompt, "temperature": 0, "logit_bias": ENDLESS, **more})
        stream.began = stream.first_text()
        return stream

    def metrics(self):
        return metrics_of(self.get("/metrics").body.decode())

    def raw(self, data, pieces=None):
        """Sends bytes as they are. The status of what comes back, None when the connection was closed without an answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT) as s:
            try:
                for i in range(0, len(data), pieces or len(data)):
                    s.sendall(data[i:i + (pieces or len(data))])
                response = http.client.HTTPResponse(s)
                response.begin()
                response.read()
                return response.status
            except (ConnectionError, http.client.HTTPException):
                return None

    def sends_and_leaves(self, data):
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT) as s:
            try:
                s.sendall(data)
            except ConnectionError:
                pass

    def lives(self):
        assert self.get("/health").json == {"status": "ok"}
        return True


def as_messages(messages):
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else messages


def delta_text(event):
    choice = event["choices"][0] if isinstance(event, dict) and event.get("choices") else {}
    return choice.get("text") or choice.get("delta", {}).get("content") or ""


def text_of(answer):
    choice = answer["choices"][0]
    return choice["text"] if "text" in choice else choice["message"]["content"]


def finish_of(answer):
    return answer["choices"][0]["finish_reason"]


def cached(answer):
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def bias_args(bias):
    return sum((["--logit-bias", f"{i}={x}"] for i, x in bias.items()), [])


@lru_cache(maxsize=None)
def run(prompt, n=16, *args, model=NAME):
    """What `kvasir run --raw` says to the same prompt."""
    return kvasir_json("run", tiny(model), "--raw", "-p", prompt, *(["-n", n] if n else []), *GREEDY, *args)


def words(name, n):
    """A text of more than n tokens that begins like no other."""
    return f"{name}: " + " ".join(f"{name} {i}" for i in range(n))


def metrics_of(text):
    """Samples by name with labels; every line has to be one of Prometheus' text format."""
    samples = {}
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP|TYPE) [a-zA-Z_:][\w:]* .+", line), line
        elif line:
            match = re.fullmatch(r'([a-zA-Z_:][\w:]*(?:\{[a-zA-Z_]\w*="[^"\\]*"(?:,[a-zA-Z_]\w*="[^"\\]*")*\})?) (\S+)', line)
            assert match, line
            assert match[1] not in samples, line
            samples[match[1]] = float(match[2])
    assert text.endswith("\n")
    return samples


def refused(answer, status, code=None, param=None):
    """An error with these properties; a param may go on behind the field's name, as in messages[0].content."""
    assert answer.status == status, answer.body
    check(answer.json, ERROR)
    error = answer.json["error"]
    assert error["message"] and error["type"] == ERROR_TYPES[status], error
    if code:
        assert error["code"] == code, error
    if param:
        assert error["param"] and re.split(r"[.\[]", error["param"])[0] == param, error
    return error["message"]


def events_of(stream):
    events = list(stream)
    assert events[-1] == "[DONE]" and "[DONE]" not in events[:-1]
    assert len({(e["id"], e["object"], e["model"], e["created"]) for e in events[:-1]}) == 1
    return events[:-1]


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def server():
    origins = ["--allow-origin", "https://app.example", "--allow-origin", "http://other.example:81"]
    with Server("--slots", "4", "--kv-memory", "64M", *origins) as s:
        yield s


@pytest.fixture(scope="module")
def small():
    """A short context, and other defaults than those of the program."""
    with Server("--ctx", "64", "--alias", "small", "--max-tokens", "7", "--slots", "1", *GREEDY) as s:
        yield s


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# who may call\nkey-one\n\nkey-two\n")
    return path
