#!/usr/bin/env python3
"""kvasir tune against measuring its whole grid: KV types x threads x chunks, a `kvasir sweep` for each.

Both are judged by the same job, reading 512 tokens and generating 128 behind a depth. The best point of the grid and tune's
choice are measured once more in turns at the end, since the machine's speed changes while the grid is measured; the ratio of
the best of these is printed, and the ratio of the times that both searches took.
"""
import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import common

READ, GENERATE = 512, 128
KVASIR = common.BUILD / "src/cli/kvasir"


def call(*args):
    done = subprocess.run([str(x) for x in (KVASIR, *args)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout)


def job(a, model, point, repeat):
    """Seconds of the job with a configuration, by a sweep of its own."""
    kv, threads, chunk = point
    row, = call("sweep", model, "--depths", a.depth, "--kv", kv, "--pp", a.pp, "--tg", 16, "--repeat", repeat, "-t", threads,
                "-b", chunk, "--ctx", a.ctx, "--json")["rows"]
    return READ / row["prefill_tps"] + GENERATE / row["decode_tps"]


def name(point):
    return "{0}, {1} threads, chunk {2}".format(*point)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+", help="GGUF files, or names in the models folder")
    parser.add_argument("--ctx", type=int, default=8192)
    parser.add_argument("--depth", type=int, default=2048)
    parser.add_argument("--kv", default="f16,q8,q8:q4,q4")
    parser.add_argument("--chunks", default="64,128,256,512,1024,2048")
    parser.add_argument("--pp", type=int, default=2048, help="tokens of the prefill; the largest chunk, so that all differ")
    parser.add_argument("--repeat", type=int, default=2, help="of each point of the grid")
    parser.add_argument("--rounds", type=int, default=3, help="of the last comparison")
    parser.add_argument("--no-record", action="store_true", help="do not append to bench/results")
    a = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    for model in a.model:
        model = model if Path(model).exists() else str(common.MODELS / model)
        common.warm(model)
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            tuned = call("tune", model, "--ctx", a.ctx, "--depth", a.depth, "--out", Path(folder) / "c.json", "--json")["config"]
            tune_s = time.monotonic() - start
        kv = tuned["kv_k"] if tuned["kv_k"] == tuned["kv_v"] else f"{tuned['kv_k']}:{tuned['kv_v']}"
        chosen = (kv, tuned["threads"], tuned["chunk"])
        print(f"{Path(model).name}: tune took {tune_s:.1f} s and chose {name(chosen)}", flush=True)
        start, grid = time.monotonic(), {}
        for point in ((kv, t, int(c)) for kv in a.kv.split(",") for t in range(1, cores + 1) for c in a.chunks.split(",")):
            grid[point] = job(a, model, point, a.repeat)
        grid_s = time.monotonic() - start
        for point, seconds in sorted(grid.items(), key=lambda x: x[1]):
            print(f"  {seconds:8.3f} s  {name(point)}{'  <- tune' if point == chosen else ''}")
        best, last = min(grid, key=grid.get), {}
        for turn in range(a.rounds if best != chosen else 1):
            for point in (best, chosen) if turn % 2 == 0 else (chosen, best):
                last[point] = min(last.get(point, 1e9), job(a, model, point, 2))
        ratio = last[chosen] / last[best]
        print(f"the grid of {len(grid)} took {grid_s:.1f} s, tune {tune_s / grid_s:.3f} of that; best {name(best)}: "
              f"{last[best]:.3f} s, tune's {last[chosen]:.3f} s, ratio {ratio:.3f}", flush=True)
        if not a.no_record:
            common.record([{"level": tuned["machine"]["level"], "threads": chosen[1], "model": Path(model).name, "test": test,
                            "depth": a.depth, "unit": "s", "kvasir": round(mine, 3), "peer": round(other, 3),
                            "ratio": round(mine / other, 3), "peer_name": "exhaustive search"}
                           for test, mine, other in ((f"tune {len(grid)} points, job", last[chosen], last[best]),
                                                     (f"tune {len(grid)} points, time", tune_s, grid_s))])


if __name__ == "__main__":
    main()
