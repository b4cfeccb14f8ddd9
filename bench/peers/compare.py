#!/usr/bin/env python3
"""Kvasir and llama.cpp on the same model file: prefill and decode speed at depth.

Both sides run --rounds times in turns (a b, b a, a b, ...), each in a process of its own; the best of each counts, since
whatever else the machine does only makes a run slower. A ratio above 1 means that Kvasir is faster.
"""
import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import common  # noqa: E402


def ours(a, model):
    command = [common.BUILD / "bench/depth", model, common.TEXT, "--threads", a.threads, "--prefill", a.prefill,
               "--decode", a.decode, "--depths", a.depths, "--repeat", 1, "--kv", a.kv]
    done = subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    a.level = rows[0]["level"]
    return {(r["test"], r["depth"]): max(r["tps"]) for r in rows}


def theirs(a, model):
    program, env = common.peer("llama-bench")
    kv = a.kv.split(":") * 2
    names = {"q8": "q8_0", "q4": "q4_0"}
    command = [program, "-m", model, "-t", a.threads, "-p", a.prefill, "-n", a.decode, "-d", a.depths, "-r", 1,
               "-ctk", names.get(kv[0], kv[0]), "-ctv", names.get(kv[1], kv[1]), "-o", "json", *a.peer_options.split()]
    done = subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, env=env)
    return {("decode" if r["n_gen"] else "prefill", r["n_depth"]): max(r["samples_ts"]) for r in json.loads(done.stdout)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+", help="GGUF files, or names in the models folder")
    parser.add_argument("--depths", default="0", help="tokens in the cache before, separated by commas")
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kv", default="f16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-options", default="", help="more options of llama-bench, as one string")
    parser.add_argument("--no-record", action="store_true", help="do not append to bench/results")
    a = parser.parse_args()
    peer_name = (common.peer_name() + " " + a.peer_options).strip()
    for model in a.model:
        model = model if Path(model).exists() else str(common.MODELS / model)
        common.warm(model)
        best = ({}, {})
        for turn in range(a.rounds):
            for side in (0, 1) if turn % 2 == 0 else (1, 0):
                for key, tps in (ours, theirs)[side](a, model).items():
                    best[side][key] = max(best[side].get(key, 0), tps)
        print(f"\n{Path(model).name}, {a.threads} threads, KV {a.kv}, {a.level}; tokens per second")
        print(f"{'test':10} {'depth':>7} {'kvasir':>10} {'llama.cpp':>10} {'ratio':>7}")
        rows = []
        for (test, depth), tps in sorted(best[0].items(), key=lambda item: (item[0][0] == "decode", item[0][1])):
            other = best[1][test, depth]
            size = a.decode if test == "decode" else a.prefill
            print(f"{test + ' ' + str(size):10} {depth:7} {tps:10.2f} {other:10.2f} {tps / other:7.2f}")
            rows.append({"level": a.level, "threads": a.threads, "model": Path(model).name, "test": f"{test} {size} {a.kv}",
                         "depth": depth, "unit": "t/s", "kvasir": round(tps, 3), "peer": round(other, 3),
                         "ratio": round(tps / other, 3), "peer_name": peer_name})
        if not a.no_record:
            common.record(rows)


if __name__ == "__main__":
    main()
