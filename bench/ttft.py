#!/usr/bin/env python3
"""Time from the start of the process to the first token of a 16-token prompt: kvasir run against llama-completion.

The model file is in the page cache. Both print the first token and go on to a second one that nobody waits for: the
clock stops when the first byte of the answer arrives. Best of --rounds, in turns. A ratio above 1: Kvasir is faster.
"""
import argparse
import os
import subprocess
import time
from pathlib import Path

import common

PROMPT = "In the beginning God created the heaven and the earth. And the earth was without"


def first_byte(command, env):
    """Seconds until something comes out of stdout."""
    start = time.monotonic()
    process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, env=env)
    text = os.read(process.stdout.fileno(), 4096)
    seconds = time.monotonic() - start
    process.stdout.close()
    process.terminate()
    process.wait()
    if not text:
        raise SystemExit(f"{command[0]} printed nothing")
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+", help="GGUF files, or names in the models folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-record", action="store_true")
    a = parser.parse_args()
    program, env = common.peer("llama-completion")
    for model in a.model:
        model = model if Path(model).exists() else str(common.MODELS / model)
        common.warm(model)
        sides = [([common.BUILD / "src/cli/kvasir", "run", model, "--raw", "-p", PROMPT, "-n", 2, "--temp", 0, "--threads",
                   a.threads, "--ctx", 512, "--no-progress"], None),
                 ([program, "-m", model, "-p", PROMPT, "-n", 2, "--temp", 0, "-t", a.threads, "-c", 512, "-no-cnv",
                   "--no-warmup", "--no-display-prompt"], env)]
        best = [float("inf")] * 2
        for turn in range(a.rounds):
            for side in (0, 1) if turn % 2 == 0 else (1, 0):
                best[side] = min(best[side], first_byte(*sides[side]))
        print(f"{Path(model).name}: first token after {best[0]:.3f} s, llama.cpp {best[1]:.3f} s, "
              f"ratio {best[1] / best[0]:.2f}")
        if not a.no_record:
            common.record([{"threads": a.threads, "model": Path(model).name, "test": "first token", "depth": 0,
                            "unit": "s", "kvasir": round(best[0], 4), "peer": round(best[1], 4),
                            "ratio": round(best[1] / best[0], 3), "peer_name": common.peer_name()}])


if __name__ == "__main__":
    main()
