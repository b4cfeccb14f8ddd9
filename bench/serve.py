#!/usr/bin/env python3
"""What clients of `kvasir serve` feel, beside llama-server of llama.cpp with the same threads, slots and context:

- four answers at the same time: tokens per second of all together, and of one alone
- the longest gap in a running answer while another client's long prompt is read
- the first token of a long prompt, and of a second one that begins with it

Both servers run one after the other in each round, in turns; the best of --rounds counts. A ratio above 1: Kvasir is better.
With --no-peer (without bench/peers/install.sh) Kvasir is compared with itself alone: four clients with one, a prefix that is there with
one that is not.
"""
import argparse
import http.client
import json
import re
import socket
import subprocess
import threading
import time
from pathlib import Path

import common

KVASIR = common.BUILD / "src/cli/kvasir"
TESTS = {"four clients": "t/s", "one client": "t/s", "longest gap": "s", "first token": "s", "first token, shared": "s"}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Server:
    def __init__(self, command, env=None):
        self.port = free_port()
        self.process = subprocess.Popen([str(c) for c in command] + ["--port", str(self.port)], env=env,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not self.is_ready():
            if self.process.poll() is not None:
                raise SystemExit(f"{command[0]} ended")
            time.sleep(0.1)

    def is_ready(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def times(self, prompt, n, on_token=lambda: None):
        """When each piece of the answer came, after when it was asked for."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        body = {"prompt": prompt, "max_tokens": n, "temperature": 0, "stream": True, "cache_prompt": True}
        found = [time.monotonic()]
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        for line in connection.getresponse():
            if re.match(rb'data: .*"text": ?"[^"]', line):
                found.append(time.monotonic())
                on_token()
        return found


def together(server, prompts, n):
    """Tokens per second of all answers, from the first token of the last to begin to the first end."""
    all_times = [None] * len(prompts)

    def ask(i):
        all_times[i] = server.times(prompts[i], n)
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(prompts))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    start, end = max(t[1] for t in all_times), min(t[-1] for t in all_times)
    return sum(sum(start < x <= end for x in t) for t in all_times) / (end - start)


def longest_gap(server, prompt, long_prompt, n):
    """The longest time without a token of an answer, from when another client asks with a long prompt to its first token."""
    running, span = threading.Event(), {}

    def ask():
        running.wait()
        times = server.times(long_prompt, 2)
        span["from"], span["to"] = times[0], times[1]
    other = threading.Thread(target=ask)
    other.start()
    times = server.times(prompt, n, running.set)
    other.join()
    within = [t for t in times if span["from"] <= t <= span["to"]]
    points = [span["from"], *within, span["to"] if times[-1] > span["to"] else times[-1]]
    return max(b - a for a, b in zip(points, points[1:]))


def measure(server, text, turn):
    """The figures of one server; `turn` makes all prompts new."""
    words = text.split()
    some = [f"Round {turn}, client {i}: " + " ".join(words[100 * i:100 * i + 40]) for i in range(5)]
    long = f"Round {turn}. " + " ".join(words[1000:3800])
    server.times(some[4], 8)
    found = {"one client": together(server, some[:1], 96), "four clients": together(server, some[:4], 96)}
    found["longest gap"] = longest_gap(server, some[0] + " Go on:", f"Another. {long}", 400)
    first = server.times(long, 2)
    second = server.times(f"{long} And then?", 2)
    found["first token"], found["first token, shared"] = first[1] - first[0], second[1] - second[0]
    return found


def itself(best):
    """(test, unit, figure, what it is compared with, its name, ratio) of one server alone."""
    four, one, late, soon = (best[t] for t in ("four clients", "one client", "first token", "first token, shared"))
    return [("four clients", "t/s", four, one, "one client", four / one),
            ("first token, shared", "s", soon, late, "first token, not shared", late / soon),
            ("longest gap", "s", best["longest gap"], "", "", "")]


def better(test, a, b):
    return max(a, b) if TESTS[test] == "t/s" else min(a, b)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+", help="GGUF files, or names in the models folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ctx", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--no-record", action="store_true")
    a = parser.parse_args()
    text = common.TEXT.read_text()
    for model in a.model:
        model = model if Path(model).exists() else str(common.MODELS / model)
        common.warm(model)
        sides = [([KVASIR, "serve", model, "--ctx", a.ctx, "--slots", 4, "--threads", a.threads], None)]
        if not a.no_peer:
            program, env = common.peer("llama-server")
            sides.append(([program, "-m", model, "-c", 4 * a.ctx, "-np", 4, "-t", a.threads, "-tb", a.threads, "-fa", "on"], env))
        best = [{} for _ in sides]
        for turn in range(a.rounds):
            for i in range(len(sides)) if turn % 2 == 0 else reversed(range(len(sides))):
                with Server(*sides[i]) as server:
                    for test, value in measure(server, text, turn).items():
                        best[i][test] = better(test, best[i].get(test, value), value)
        rows = []
        print(f"{Path(model).name}")
        for test, unit in TESTS.items():
            line = f"  {test:22} {best[0][test]:9.3f} {unit}"
            if len(sides) > 1:
                ratio = best[0][test] / best[1][test] if unit == "t/s" else best[1][test] / best[0][test]
                line += f", llama.cpp {best[1][test]:9.3f}, ratio {ratio:.2f}"
                rows.append({"threads": a.threads, "model": Path(model).name, "test": f"serve: {test}", "depth": 0, "unit": unit,
                             "kvasir": round(best[0][test], 4), "peer": round(best[1][test], 4), "ratio": round(ratio, 3),
                             "peer_name": common.peer_name()})
            print(line)
        for test, unit, figure, other, name, ratio in itself(best[0]):
            rows.append({"threads": a.threads, "model": Path(model).name, "test": f"serve: {test}", "depth": 0, "unit": unit,
                         "kvasir": round(figure, 4), "peer": other and round(other, 4), "ratio": ratio and round(ratio, 3),
                         "peer_name": name})
        if not a.no_record:
            common.record(rows)


if __name__ == "__main__":
    main()
