"""kvasir pull, and models by name: against a server that does everything that servers do wrong."""
import hashlib
import http.server
import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from conftest import BIN as KVASIR, tiny

MIB = 1 << 20
PIECE = 8 * MIB
BIG = b"GGUF" + os.urandom(1 << 16) * (PIECE * 3 // (1 << 16)) + b"the end" + b"GGUF"[::-1]  # three pieces and a bit


class Served:
    """One file and how it is misserved. `plan` is called for each request of it: returns None to serve it well."""

    def __init__(self, data, etag='"one"', sha=None, size=None, ranges=True, plan=None):
        self.data, self.etag, self.sha, self.size, self.ranges, self.plan = data, etag, sha, size, ranges, plan
        self.asked, self.sent = [], 0
        self.lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        self.server.seen.append((path, self.headers.get("Authorization"), self.headers.get("Range")))
        target = self.server.files.get(self.path) or self.server.files.get(path)
        if target is None:
            return self.answer(404, b"nothing here")
        if isinstance(target, tuple):  # (status, body, headers)
            return self.answer(*target)
        return self.serve(target)

    def serve(self, f):
        with f.lock:
            f.asked.append(self.headers.get("Range"))
            turn = len(f.asked)
        todo = f.plan(turn, self) if f.plan else None
        if todo == "done":
            return None
        match = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        total = f.size or len(f.data)
        first, last = (int(match[1]), min(int(match[2]), len(f.data) - 1)) if match and f.ranges else (0, len(f.data) - 1)
        body = f.data[first:last + 1]
        self.send_response(206 if match and f.ranges else 200)
        if match and f.ranges:
            self.send_header("Content-Range", f"bytes {first}-{last}/{total}")
        self.send_header("ETag", f.etag)
        if f.sha:
            self.send_header("X-Linked-ETag", f'"{f.sha}"')
            self.send_header("X-Linked-Size", str(total))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if todo == "cut":
            body = body[:len(body) // 2]
        if todo == "wrong":
            body = body[:-1] + bytes([body[-1] ^ 1])
        try:
            if todo == "stall":
                self.wfile.write(body[:100])
                self.server.let_go.wait(30)
                return None
            self.wfile.write(body)
            with f.lock:
                f.sent += len(body)
        except (BrokenPipeError, ConnectionResetError):
            pass
        if todo == "cut":
            self.close_connection = True
        return None


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


@pytest.fixture
def server():
    s = Server(("127.0.0.1", 0), Handler)
    s.files, s.seen, s.let_go = {}, [], threading.Event()
    s.url = f"http://127.0.0.1:{s.server_address[1]}"
    thread = threading.Thread(target=s.serve_forever, daemon=True)
    thread.start()
    yield s
    s.let_go.set()
    s.shutdown()
    s.server_close()


@pytest.fixture
def elsewhere():
    """Another host."""
    s = Server(("127.0.0.1", 0), Handler)
    s.files, s.seen, s.let_go = {}, [], threading.Event()
    s.url = f"http://127.0.0.1:{s.server_address[1]}"
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield s
    s.shutdown()
    s.server_close()


@pytest.fixture
def env(tmp_path, server):
    return dict(os.environ, KVASIR_CACHE=str(tmp_path / "cache"), KVASIR_HF_ENDPOINT=server.url, KVASIR_HF_TOKEN="",
                NO_PROXY="*")


def run(env, *args, code=0):
    done = subprocess.run([KVASIR, *map(str, args)], env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def pull(env, *args, code=0):
    done = run(env, "pull", *args, "--stall", 2, "--retries", 3, code=code)
    return Path(done.stdout.strip()) if code == 0 else done.stderr


def parts(env):
    return [p for p in Path(env["KVASIR_CACHE"]).rglob("*") if ".part" in p.name]


# ---- from a URL -----------------------------------------------------------------------------------------------------

def test_a_file_in_several_ranges(server, env):
    f = server.files["/m.gguf"] = Served(BIG)
    path = pull(env, server.url + "/m.gguf")
    assert path.read_bytes() == BIG and path.name == "m.gguf"
    assert sorted(f.asked) == sorted(["bytes=0-0"] + [f"bytes={i * PIECE}-{min((i + 1) * PIECE, len(BIG)) - 1}" for i in range(4)])
    record = json.loads(path.with_name("m.gguf.json").read_text())
    assert record["sha256"] == hashlib.sha256(BIG).hexdigest() and record["bytes"] == len(BIG)
    assert not parts(env) and not list(path.parent.glob("*.lock"))
    asked = len(f.asked)
    assert pull(env, server.url + "/m.gguf") == path and len(f.asked) == asked, "what is there is not asked for again"
    document = json.loads(run(env, "pull", server.url + "/m.gguf", "--json").stdout)
    assert document["schema"] == "kvasir.pull/1" and document["path"] == str(path) and document["files"][0]["there"]
    pull(env, server.url + "/m.gguf", "--force")
    assert len(f.asked) > asked


def test_to_and_sha256(server, env, tmp_path):
    server.files["/m.gguf"] = Served(BIG)
    right = hashlib.sha256(BIG).hexdigest()
    to = tmp_path / "here" / "x.gguf"
    assert pull(env, server.url + "/m.gguf", "--to", to, "--sha256", right.upper()) == to and to.read_bytes() == BIG
    text = pull(env, server.url + "/m.gguf", "--sha256", "0" * 64, code=3)
    assert right in text and "thrown away" in text and not parts(env)
    assert right in pull(env, server.url + "/m.gguf", "--to", to, "--sha256", "0" * 64, code=3)
    assert to.read_bytes() == BIG, "what was there stays until something right has come"
    server.files["/other.gguf"] = Served(BIG[:100])
    assert "--force" in pull(env, server.url + "/other.gguf", "--to", to, code=2) and to.read_bytes() == BIG
    assert pull(env, server.url + "/other.gguf", "--to", to, "--force").read_bytes() == BIG[:100]
    assert "64 hexadecimal" in pull(env, server.url + "/m.gguf", "--sha256", "12", code=2)


def test_no_ranges(server, env):
    f = server.files["/m.gguf"] = Served(BIG, ranges=False)
    assert pull(env, server.url + "/m.gguf").read_bytes() == BIG
    assert len(f.asked) == 2


@pytest.mark.parametrize("trouble", ["cut", "stall"])
def test_a_connection_that_breaks(server, env, trouble):
    server.files["/m.gguf"] = Served(BIG, plan=lambda turn, _: trouble if turn in (2, 4) else None)
    assert pull(env, server.url + "/m.gguf").read_bytes() == BIG


def test_errors_that_pass_and_that_stay(server, env):
    def plan(turn, handler):
        if turn < 3:
            handler.answer(503, b"later")
            return "done"
        return None
    server.files["/m.gguf"] = Served(BIG[:1000], plan=plan)
    assert pull(env, server.url + "/m.gguf").read_bytes() == BIG[:1000]
    server.files["/n.gguf"] = (500, b"no")
    assert "500" in pull(env, server.url + "/n.gguf", code=1)
    assert "404" in pull(env, server.url + "/none.gguf", code=1)
    for status in (401, 403):
        server.files["/n.gguf"] = (status, b"no")
        assert "KVASIR_HF_TOKEN" in pull(env, server.url + "/n.gguf", code=1)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    assert "onnect" in pull(env, f"http://127.0.0.1:{port}/m.gguf", code=1)
    for ranges in (False, True):
        server.files["/none.gguf"] = Served(b"", ranges=ranges)
        assert "it is empty" in pull(env, server.url + "/none.gguf", code=1)
    server.files["/none.gguf"] = (416, b"", [("Content-Range", "bytes */0")])
    assert "it is empty" in pull(env, server.url + "/none.gguf", code=1)


def test_lies_about_length(server, env):
    server.files["/m.gguf"] = Served(BIG[:5000], size=6000)  # says more than it has
    text = pull(env, server.url + "/m.gguf", code=1)
    assert "/m.gguf" in text and not (Path(env["KVASIR_CACHE"]) / "m.gguf").exists()

    def other_bytes(turn, handler):
        if turn == 1:
            return None
        handler.answer(206, BIG[:100], [("Content-Range", "bytes 7-106/5000"), ("ETag", '"one"')])
        return "done"
    server.files["/o.gguf"] = Served(BIG[:5000], plan=other_bytes)
    assert "other bytes" in pull(env, server.url + "/o.gguf", code=3)

    def more_bytes(turn, handler):
        if turn == 1:
            return None
        handler.answer(206, BIG[:6000], [("Content-Range", "bytes 0-4999/5000"), ("ETag", '"one"')])
        return "done"
    server.files["/p.gguf"] = Served(BIG[:5000], plan=more_bytes)
    assert "more bytes" in pull(env, server.url + "/p.gguf", code=3)


def test_file_changes_while_it_is_fetched(server, env):
    f = Served(BIG)

    def plan(turn, _):
        f.etag = '"two"' if turn > 2 else '"one"'
    f.plan = plan
    server.files["/m.gguf"] = f
    assert "changed" in pull(env, server.url + "/m.gguf", "--connections", 1, code=3)
    assert not parts(env)


def test_goes_on_after_kill(server, env):
    gate = threading.Event()

    def plan(turn, _):
        if turn >= 4 and not gate.is_set():
            return "stall"
        return None
    f = server.files["/m.gguf"] = Served(BIG, plan=plan)
    process = subprocess.Popen([KVASIR, "pull", server.url + "/m.gguf", "--connections", "1"], env=env, stderr=subprocess.PIPE)
    while len(f.asked) < 4:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert parts(env)
    gate.set()
    server.let_go.set()
    sent = f.sent
    done = run(env, "pull", server.url + "/m.gguf", "--stall", 5)
    assert Path(done.stdout.strip()).read_bytes() == BIG and "going on" in done.stderr
    assert f.sent - sent <= len(BIG) - 2 * PIECE + 1, "two pieces were there"


def test_ctrl_c_then_the_file_is_another(server, env):
    f = server.files["/m.gguf"] = Served(BIG, plan=lambda turn, _: "stall" if turn == 3 else None)
    process = subprocess.Popen([KVASIR, "pull", server.url + "/m.gguf", "--connections", "1"], env=env, stderr=subprocess.PIPE, text=True)
    while len(f.asked) < 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130 and "goes on from here" in text
    other = server.files["/m.gguf"] = Served(BIG[::-1], etag='"another"')
    assert pull(env, server.url + "/m.gguf").read_bytes() == BIG[::-1]
    assert other.sent >= len(BIG)


def test_two_at_once(server, env):
    f = server.files["/m.gguf"] = Served(BIG, plan=lambda turn, _: time.sleep(0.2))
    both = [subprocess.Popen([KVASIR, "pull", server.url + "/m.gguf"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True) for _ in range(2)]
    texts = [p.communicate(timeout=60) for p in both]
    assert [p.returncode for p in both] == [0, 0], texts
    assert texts[0][0] == texts[1][0] and Path(texts[0][0].strip()).read_bytes() == BIG
    assert f.sent <= len(BIG) + 2, "fetched once"


def test_redirect_keeps_the_token(server, env, tmp_path):
    away = Server(("127.0.0.1", 0), Handler)
    away.files, away.seen, away.let_go = {"/blob": Served(BIG)}, [], threading.Event()
    threading.Thread(target=away.serve_forever, daemon=True).start()
    # Another host by name, so that the token has to stay behind.
    server.files["/m.gguf"] = (302, b"", [("Location", f"http://localhost:{away.server_address[1]}/blob")])
    env = dict(env, KVASIR_HF_TOKEN="secret")
    assert pull(env, server.url + "/m.gguf").read_bytes() == BIG
    assert server.seen[0][1] == "Bearer secret"
    assert {auth for _, auth, _ in away.seen} == {None}
    away.shutdown()
    away.server_close()
    (tmp_path / "token").write_text("  of-a-file\n")
    server.files["/n.gguf"] = Served(BIG[:10])
    server.seen.clear()
    pull(env, server.url + "/n.gguf", "--token-file", tmp_path / "token")
    assert server.seen[0][1] == "Bearer of-a-file"
    server.files["/r.gguf"] = (302, b"", [("Location", "/r.gguf")])
    assert "redirect" in pull(env, server.url + "/r.gguf", code=1)
    server.files["/f.gguf"] = (302, b"", [("Location", "file:///etc/passwd")])
    pull(env, server.url + "/f.gguf", code=1)


def test_the_hub_token_is_for_the_hub(server, env, tmp_path, elsewhere):
    elsewhere.files["/m.gguf"] = Served(Path(tiny("llama-tied")).read_bytes())
    env = dict(env, KVASIR_HF_TOKEN="secret")
    pull(env, elsewhere.url + "/m.gguf")
    # The endpoint is a beginning of the URL, and yet another host (another port).
    like = dict(env, KVASIR_HF_ENDPOINT="http://127.0.0.1", KVASIR_CACHE=str(tmp_path / "second"))
    pull(like, elsewhere.url + "/m.gguf")
    run(dict(like, KVASIR_CACHE=str(tmp_path / "third")), "run", elsewhere.url + "/m.gguf", "--raw", "-p", "a", "-n", "1")
    user = elsewhere.url.replace("http://", server.url + "@")  # "http://127.0.0.1:1@127.0.0.1:2" is the second host
    pull(dict(env, KVASIR_CACHE=str(tmp_path / "fourth")), user + "/m.gguf")
    assert len(elsewhere.seen) >= 8 and not [auth for _, auth, _ in elsewhere.seen if "Bearer" in (auth or "")]
    elsewhere.seen.clear()
    (tmp_path / "token").write_text("mine")
    pull(env, elsewhere.url + "/m.gguf", "--force", "--token-file", tmp_path / "token")
    assert {auth for _, auth, _ in elsewhere.seen} == {"Bearer mine"}, "a token that is given with a URL is for it"


def test_speed_after_an_interruption(server, env):
    """What was there already is no speed: the line of a second try that gets nothing yet must not show any."""
    f = server.files["/m.gguf"] = Served(BIG, plan=lambda turn, _: "stall" if turn >= 4 else None)
    process = subprocess.Popen([KVASIR, "pull", server.url + "/m.gguf", "--connections", "1"], env=env, stderr=subprocess.PIPE)
    while len(f.asked) < 4:
        time.sleep(0.02)
    process.kill()
    process.wait()
    master, slave = pty.openpty()
    process = subprocess.Popen([KVASIR, "pull", server.url + "/m.gguf", "--connections", "1"], env=env, stderr=slave)
    os.close(slave)
    text = b""
    while text.count(b"16.0 MiB of") < 3:
        text += os.read(master, 1000)
    process.kill()
    process.wait()
    os.close(master)
    speeds = re.findall(rb"16\.0 MiB of [^,]*, (\S+ \S+)/s", text)
    assert speeds and set(speeds) <= {b"%d B" % n for n in range(1024)}, text


# ---- from a hub -----------------------------------------------------------------------------------------------------

def listing(files):
    return (200, json.dumps([{"type": "file", "path": path, "size": len(data),
                              "lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}}
                             for path, data in files.items()]).encode())


@pytest.fixture
def repo(server):
    files = {"m-Q4_K_M.gguf": BIG[:3000], "m-Q4_K.gguf": BIG[:2000], "m-Q8_0.gguf": BIG[:4000], "README.md": b"text",
             "big/m-F16-00001-of-00002.gguf": BIG[:500], "big/m-F16-00002-of-00002.gguf": b"GGUF" + BIG[500:896]}
    server.files["/api/models/who/what/tree/main"] = listing(files)
    for path, data in files.items():
        server.files[f"/who/what/resolve/main/{path}"] = Served(data, sha=hashlib.sha256(data).hexdigest())
    return files


def test_hub(server, env, repo):
    assert pull(env, "hf:who/what").read_bytes() == repo["m-Q4_K_M.gguf"], "the usual quantisation"
    assert pull(env, "hf:who/what:q4_k").read_bytes() == repo["m-Q4_K.gguf"]
    assert pull(env, "hf:who/what:m-Q8_0.gguf").read_bytes() == repo["m-Q8_0.gguf"]
    path = pull(env, "hf:who/what:F16")
    assert path.name == "m-F16-00001-of-00002.gguf" and path.read_bytes() == BIG[:500]
    assert path.with_name("m-F16-00002-of-00002.gguf").read_bytes() == b"GGUF" + BIG[500:896]
    text = run(env, "pull", "hf:who/what", "--list").stdout
    assert "m-Q8_0.gguf" in text and "README" not in text and "there" in text
    document = json.loads(run(env, "pull", "hf:who/what", "--list", "--json").stdout)
    assert len(document["files"]) == 5 and document["path"] is None
    assert "no file for Q2_K" in pull(env, "hf:who/what:Q2_K", code=2)
    assert "404" in pull(env, "hf:who/else", code=1)
    seen = len(server.seen)
    assert pull(env, "hf:who/what:m-Q8_0.gguf").exists() and len(server.seen) == seen, "named and there: no question"


@pytest.mark.parametrize("name", ["hf:who/what", "hf:who/what:q8_0", "hf:who/what:Q8_0", "hf:who/what:F16",
                                  "hf:who/what:big/m-F16-00001-of-00002.gguf"])
def test_what_is_there_needs_no_hub(server, env, repo, name):
    path = pull(env, name)
    seen = len(server.seen)
    document = json.loads(run(env, "pull", name, "--json").stdout)
    assert document["path"] == str(path) and len(server.seen) == seen
    for f in document["files"]:
        assert f["there"] and f["bytes"] == len(repo[f["file"]]) and f["sha256"] == hashlib.sha256(repo[f["file"]]).hexdigest()
    pull(env, name, "--force")
    assert len(server.seen) > seen
    path.unlink()
    seen = len(server.seen)
    assert pull(env, name) == path and path.exists() and len(server.seen) > seen


def test_hub_choice_that_was_tampered_with(server, env, repo):
    pull(env, "hf:who/what:q8_0")
    record, = Path(env["KVASIR_CACHE"]).rglob(".chosen.json")
    outside = record.parents[4] / "x.gguf"
    outside.write_bytes(b"GGUF")
    for bad in ("{", "[]", '{"q8_0": 1}', '{"q8_0": []}', '{"q8_0": ["../../../../x.gguf"]}', '{"q8_0": [1]}',
                json.dumps({"q8_0": [str(outside)]})):
        record.write_text(bad)
        assert pull(env, "hf:who/what:q8_0").name == "m-Q8_0.gguf"


def test_hub_listing_in_pages(server, env, elsewhere):
    tree = "/api/models/who/what/tree/main"
    status, first = listing({f"f{i}-Q2_K.gguf": BIG[:10] for i in range(3)})
    _, second = listing({"m-Q4_K_M.gguf": BIG[:200]})
    server.files["/who/what/resolve/main/m-Q4_K_M.gguf"] = Served(BIG[:200])
    link = f'<{server.url}{tree}?recursive=true&cursor=abc>; rel="next"'
    server.files[tree + "?recursive=true"] = (status, first, [("Link", link)])
    server.files[tree + "?recursive=true&cursor=abc"] = (status, second)
    assert pull(env, "hf:who/what").read_bytes() == BIG[:200]
    assert len(run(env, "pull", "hf:who/what", "--list").stdout.splitlines()) == 4
    server.files[tree + "?recursive=true&cursor=abc"] = (status, second, [("Link", link)])
    assert "pages" in pull(env, "hf:who/what:q2_k", code=3), "pages without an end"
    server.files[tree + "?recursive=true"] = (status, first, [("Link", f'<{elsewhere.url}/x>; rel="next"')])
    assert "another host" in pull(dict(env, KVASIR_HF_TOKEN="secret"), "hf:who/what:q2_k", code=3)
    assert not elsewhere.seen


def test_hub_names_that_URLs_have_to_escape(server, env):
    name, escaped = "dir one/m\u00e9+1 Q4_K_M.gguf", "dir%20one/m%C3%A9%2B1%20Q4_K_M.gguf"
    server.files["/api/models/who/what/tree/main"] = listing({name: BIG[:300]})
    server.files["/who/what/resolve/main/" + escaped] = Served(BIG[:300])
    path = pull(env, "hf:who/what")
    assert path.read_bytes() == BIG[:300] and str(path).endswith(name)
    assert pull(env, "hf:who/what:" + name) == path


def test_hub_says_401_for_what_it_does_not_have(server, env):
    server.files["/api/models/who/what/tree/main"] = (401, b"Invalid username or password.")
    text = pull(env, "hf:who/what", code=1)
    assert "KVASIR_HF_TOKEN" in text and "no such" in text


def test_hub_revision(server, env):
    server.files["/api/models/who/what/tree/v2"] = listing({"only.gguf": BIG[:100]})
    server.files["/who/what/resolve/v2/only.gguf"] = Served(BIG[:100])
    assert pull(env, "hf:who/what@v2").read_bytes() == BIG[:100]
    server.files["/api/models/who/what/tree/refs%2Fpr%2F1"] = listing({"only.gguf": BIG[:200]})
    server.files["/who/what/resolve/refs%2Fpr%2F1/only.gguf"] = Served(BIG[:200])
    path = pull(env, "hf:who/what@refs/pr/1")
    assert path.read_bytes() == BIG[:200] and path.parent.name == "refs%2Fpr%2F1"


def test_wrong_bytes(server, env, repo):
    f = server.files["/who/what/resolve/main/m-Q8_0.gguf"]
    f.plan = lambda turn, _: "wrong" if turn > 1 else None
    text = pull(env, "hf:who/what:q8_0", code=3)
    assert hashlib.sha256(repo["m-Q8_0.gguf"]).hexdigest() in text and "thrown away" in text
    assert not [p for p in Path(env["KVASIR_CACHE"]).rglob("m-Q8_0.gguf*") if not p.name.endswith(".lock")]
    f.sha = "1" * 64
    assert "SHA-256" in pull(env, "hf:who/what:q8_0", code=3)
    f.sha, f.size = None, 4001
    assert "record says 4000" in pull(env, "hf:who/what:q8_0", code=3)


@pytest.mark.parametrize("body, says", [
    (b"{", "no list"), (b'{"error": 1}', "no list"), (b"\xff\xfe", "no list"),
    (b'[{"type":"file","path":"../../x.gguf","size":1}]', "cannot be"),
    (b'[{"type":"file","path":"/etc/x.gguf","size":1}]', "cannot be"),
    (b'[{"type":"file","path":"a/.b/x.gguf","size":1}]', "cannot be"),
    (b'[{"type":"file","path":"a\\u0001.gguf","size":1}]', "cannot be"),
    (b'[{"type":"file","path":"x.gguf","size":-1}]', "cannot be"),
    (json.dumps([{"type": "file", "path": "x" * 300 + ".gguf", "size": 1}]).encode(), "cannot be"),
])
def test_hub_that_lies(server, env, body, says):
    server.files["/api/models/who/what/tree/main"] = (200, body)
    assert says in pull(env, "hf:who/what", code=3)


def test_hub_without_models(server, env):
    server.files["/api/models/who/what/tree/main"] = (200, b'[1, {"type":"file"}, {"type":"directory","path":"x.gguf"}]')
    assert "no GGUF" in pull(env, "hf:who/what", code=2)


@pytest.mark.parametrize("name", ["hf:", "hf:who", "hf:who/", "hf:/what", "hf:../what", "hf:who/what:../x", "hf:who/wh at",
                                  "hf:who/what:", "hf:who/what@:x", "ftp://x/y.gguf", "just-a-name", "http://"])
def test_names_that_are_none(env, name):
    assert run(env, "pull", name, code=2).stderr


# ---- models by name -------------------------------------------------------------------------------------------------

def test_run_by_name(server, env):
    data = Path(tiny("llama-tied")).read_bytes()
    f = server.files["/t.gguf"] = Served(data)
    args = ["run", server.url + "/t.gguf", "--raw", "-p", "a", "-n", "4", "--temp", "0", "--json"]
    first = json.loads(run(env, *args).stdout)
    asked = len(f.asked)
    assert json.loads(run(env, *args).stdout)["ids"] == first["ids"] and len(f.asked) == asked
    assert json.loads(run(env, "run", tiny("llama-tied"), *args[2:]).stdout)["ids"] == first["ids"]


def test_inspect_reads_the_header_alone(server, env):
    data = Path(tiny("llama-tied")).read_bytes() + bytes(20 * MIB)
    f = server.files["/t.gguf"] = Served(data)
    document = json.loads(run(env, "inspect", server.url + "/t.gguf", "--json").stdout)
    assert document["architecture"] == "llama" and document["file_bytes"] == len(data)
    assert f.sent <= MIB + 1
    planned = json.loads(run(env, "plan", server.url + "/t.gguf", "--ctx", "64", "--json").stdout)
    assert planned["models"][0]["fits"] if "models" in planned else planned["fits"]
    assert f.sent <= 2 * (MIB + 1)


def test_headers_at_once(server, env):
    """Eight commands for one header: each reads a whole one, and nothing is left over."""
    data = Path(tiny("llama-tied")).read_bytes() + bytes(3 * MIB)
    server.files["/t.gguf"] = Served(data)
    started = [subprocess.Popen([KVASIR, "inspect", server.url + "/t.gguf", "--json"], env=env, stdout=subprocess.PIPE)
               for _ in range(8)]
    for process in started:
        out, _ = process.communicate()
        assert process.returncode == 0 and json.loads(out)["file_bytes"] == len(data)
    assert [p.name for p in Path(env["KVASIR_CACHE"]).rglob("*") if p.is_file()] == ["t.gguf"]
    server.files["/page.gguf"] = Served(b"<html>" + bytes(MIB))
    run(env, "inspect", server.url + "/page.gguf", code=3)
    assert [p.name for p in Path(env["KVASIR_CACHE"]).rglob("*") if p.is_file()] == ["t.gguf"]
    assert not [p for p in Path(env["KVASIR_CACHE"]).rglob("headers/*") if p.is_dir()]


def test_plan_reads_the_headers_of_all_parts(server, env, tmp_path):
    import gguf
    from test_plan import gqa
    keys = gqa("qwen3", 4, 4, 2, 64)
    parts = [[("token_embd.weight", "F16", (256, 1000))], [("a", "Q8_0", (256, 256 * 1000))]]
    for i, tensors in enumerate(parts):
        path = tmp_path / f"m-0000{i + 1}-of-00002.gguf"
        split = {"split.no": i, "split.count": 2, "split.tensors.count": 2}
        gguf.write(path, (keys if i == 0 else {}) | split, tensors, data=True)
        server.files["/" + path.name] = Served(path.read_bytes())
    document = json.loads(run(env, "plan", server.url + "/m-00001-of-00002.gguf", "--ctx", "1024", "--json").stdout)
    assert document["weights_bytes"] == 256 * 1000 * 2 + 256 * 256 * 1000 * 34 // 32
    assert sum(f.sent for f in server.files.values()) <= 2 * (MIB + 1)
    assert "no ranges" in run(env, "inspect", no_ranges(server), code=3).stderr



def test_what_is_no_model_is_found_out_at_once(server, env):
    f = server.files["/page.gguf"] = Served(b"<html>" + bytes(20 * MIB))
    assert "not a GGUF" in run(env, "inspect", server.url + "/page.gguf", code=3).stderr
    assert f.sent <= MIB + 1
    old = server.files["/old.gguf"] = Served(b"GGUF\1\0\0\0" + bytes(20 * MIB))
    assert "version 1" in run(env, "inspect", server.url + "/old.gguf", code=3).stderr
    assert old.sent <= MIB + 1
    cut = server.files["/cut.gguf"] = Served(Path(tiny("llama-tied")).read_bytes()[:3000])
    assert "byte 3000" in run(env, "inspect", server.url + "/cut.gguf", code=3).stderr and cut.sent == 3001


def no_ranges(server):
    server.files["/n.gguf"] = Served(BIG[:100], ranges=False)
    return server.url + "/n.gguf"


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 100\n"


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("body, words", [(b"<!DOCTYPE html><title>Sign in</title>", "a page of HTML"), (LFS, "a Git LFS pointer"),
                                         (b"plain", "no GGUF file;"), (b"\x08" + bytes(7) + b"{}      ", "safetensors")])
def test_what_is_no_model(server, env, tmp_path, body, words, ranges):
    """It is not published, nothing of it stays, and the next pull asks again; a page that an older version kept is none either."""
    url, cache = server.url + "/m.gguf", Path(env["KVASIR_CACHE"])
    server.files["/m.gguf"] = Served(body, ranges=ranges)
    assert words in pull(env, url, code=3)
    assert not [p for p in cache.rglob("*")]
    server.files["/m.gguf"] = Served(BIG[:3000], ranges=ranges)
    path = pull(env, url)
    assert path.read_bytes() == BIG[:3000]
    path.write_bytes(body)
    assert pull(env, url).read_bytes() == BIG[:3000]
    assert sorted(p.name for p in cache.rglob("*") if p.is_file()) == ["m.gguf", "m.gguf.json"]


def test_no_model_ends_early(server, env):
    """Long before all of it has come."""
    f = server.files["/m.safetensors"] = Served(b"\x08" + bytes(7) + b"{}      " + BIG * 4)
    assert "safetensors" in pull(env, server.url + "/m.safetensors", "--connections", "1", code=3)
    assert f.sent < 2 * PIECE


@pytest.mark.parametrize("trouble", ["cut", None])
def test_nothing_stays_where_nothing_came(server, env, trouble):
    """Neither an empty .part nor a lock nor a folder."""
    server.files["/m.gguf"] = Served(BIG[:3000], ranges=False, plan=lambda *_: trouble) if trouble else (404, b"no")
    pull(env, server.url + "/m.gguf", "--retries", "0", code=1)
    assert not [p for p in Path(env["KVASIR_CACHE"]).rglob("*")]


def test_json_of_a_cached_file(server, env):
    server.files["/m.gguf"] = Served(BIG[:3000])
    documents = [json.loads(subprocess.run([KVASIR, "pull", server.url + "/m.gguf", "--json"], env=env, capture_output=True,
                                           check=True).stdout) for _ in range(2)]
    assert documents[0] == documents[1]
    f, = documents[0]["files"]
    assert f["bytes"] == 3000 and f["sha256"] == hashlib.sha256(BIG[:3000]).hexdigest() and f["there"]
