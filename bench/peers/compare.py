#!/usr/bin/env python3
"""Kvasir and llama.cpp on the same model file: prefill and decode speed at depth, over several types of KV cache.

In each of --rounds both sides run once, Kvasir's types in turns within one process and each of llama.cpp's in a process of
its own, forwards and backwards in turn; the best of each counts, since whatever else the machine does only makes a run
slower. A ratio above 1 means that Kvasir is faster than llama.cpp with the type that is its fastest at that depth. The last
columns compare Kvasir's types with one another, by the median of the pairs that were measured right behind each other: memory
may be half as fast a minute later. A type that llama.cpp refuses is named and left out.

llama-bench fills the cache anew for each figure, and does so slowly with quantised types: deep runs take long.
"""
import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import common  # noqa: E402

NAMES = {"q8": "q8_0", "q4": "q4_0"}  # what llama.cpp calls them
SHORT = {name: ours for ours, name in NAMES.items()}


def renamed(kv, names):
    return ":".join(names.get(part, part) for part in kv.split(":"))


def ours(a, model, kv):
    """{(type, test, depth): tokens per second} of several types, or None after saying why not; their pairs go to a.pairs."""
    command = [common.BUILD / "bench/depth", model, common.TEXT, "--threads", a.threads, "--prefill", a.prefill,
               "--decode", a.decode, "--depths", a.depths, "--repeat", a.repeat, "--kv", kv]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        return refused("kvasir", kv, done)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    a.level = rows[0]["level"]
    for r in rows:
        a.pairs.setdefault((r["kv"], r["test"], r["depth"]), []).append(r["over_previous"])
    return {(r["kv"], r["test"], r["depth"]): r["tps"] for r in rows}


def theirs(a, model, kv):
    program, env = common.peer("llama-bench")
    k, v = (kv.split(":") * 2)[:2]
    flash = ["-fa", 1] if v.startswith("q") else []  # which quantised V needs there
    command = [program, "-m", model, "-t", a.threads, "-p", a.prefill, "-n", a.decode, "-d", a.depths, "-r", 1,
               "-ctk", k, "-ctv", v, *flash, "-o", "json", *a.peer_options.split()]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env)
    if done.returncode:
        return refused("llama.cpp", kv, done)
    return {(kv, "decode" if r["n_gen"] else "prefill", r["n_depth"]): max(r["samples_ts"]) for r in json.loads(done.stdout)}


def refused(side, kv, done):
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    print(f"{side} {kv} is left out: {lines[-1]}")


def measure(a, model, types, peers):
    """{(side, type): {(test, depth): best tokens per second}}"""
    best = {}
    runs = [("kvasir", ours, ",".join(types))] + [("llama.cpp", theirs, kv) for kv in peers]
    for turn in range(a.rounds):
        for run in list(runs) if turn % 2 == 0 else runs[::-1]:
            side, program, kv = run
            got = program(a, model, kv)
            if got is None:
                runs.remove(run)
                continue
            for (kv, *place), tps in got.items():
                mine = best.setdefault((side, kv), {})
                mine[tuple(place)] = max(mine.get(tuple(place), 0), tps)
    return best


def ratio(a, b):
    return f"{a / b:.2f}" if a and b else "-"


def report(a, best):
    """Prints the table of one model; the rows to record."""
    types, peers = ([kv for side, kv in best if side == which] for which in ("kvasir", "llama.cpp"))
    steps = [pair for pair in zip(types, types[1:])]
    heads = types + ["lcpp " + kv for kv in peers] + [f"{kv}/best" for kv in types if peers] + [f"{b}/{a}" for a, b in steps]
    print(f"{'test':12} {'depth':>7} " + " ".join(f"{head:>10}" for head in heads))
    rows = []
    for place in sorted({p for got in best.values() for p in got}, key=lambda p: (p[0] == "decode", p[1])):
        mine = {kv: best["kvasir", kv].get(place, 0) for kv in types}
        other = {kv: best["llama.cpp", kv].get(place, 0) for kv in peers}
        fastest = max(other, key=other.get, default=None)
        test = f"{place[0]} {a.decode if place[0] == 'decode' else a.prefill}"
        cells = [f"{tps:.2f}" for tps in [*mine.values(), *other.values()]]
        pairs = {n: statistics.median(a.pairs[n, *place]) for _, n in steps}
        cells += [ratio(tps, other.get(fastest)) for tps in mine.values() if peers] + [f"{r:.2f}" for r in pairs.values()]
        print(f"{test:12} {place[1]:7} " + " ".join(f"{cell:>10}" for cell in cells))
        for kv, tps in mine.items():
            for against in sorted({fastest, renamed(kv, NAMES)} & {p for p in other if tps and other[p]}):
                best_of = f" (best of {','.join(peers)})" if against == fastest and len(peers) > 1 else ""
                rows.append({"level": a.level, "threads": a.threads, "test": f"{test} {kv}", "depth": place[1], "unit": "t/s",
                             "kvasir": round(tps, 3), "peer": round(other[against], 3),
                             "ratio": round(tps / other[against], 3), "peer_name": f"{a.peer_name} {against}{best_of}"})
        for kv, than in ((n, m) for m, n in steps if mine[m] and mine[n]):
            rows.append({"level": a.level, "threads": a.threads, "test": f"{test} {kv}", "depth": place[1], "unit": "t/s",
                         "kvasir": round(mine[kv], 3), "peer": round(mine[than], 3),
                         "ratio": round(pairs[kv], 3), "peer_name": f"kvasir {than}, pairs"})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+", help="GGUF files, or names in the models folder")
    parser.add_argument("--depths", default="0", help="tokens in the cache before, separated by commas")
    parser.add_argument("--prefill", type=int, default=512, help="tokens; 0: not measured")
    parser.add_argument("--decode", type=int, default=64, help="tokens; 0: not measured")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kv", default="f16", help="types of Kvasir's cache, separated by commas: f16,q8,q8:q4")
    parser.add_argument("--peer-types", help="types of llama.cpp's cache (default: those of --kv; none: Kvasir alone)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=2, help="turns of Kvasir's types in a round")
    parser.add_argument("--peer-options", default="", help="more options of llama-bench, as one string")
    parser.add_argument("--no-record", action="store_true", help="do not append to bench/results")
    a = parser.parse_args()
    a.peer_name = "" if a.peer_types == "none" else (common.peer_name() + " " + a.peer_options).strip()
    types = [renamed(kv, SHORT) for kv in a.kv.split(",")]
    peers = [] if a.peer_types == "none" else [renamed(kv, NAMES) for kv in (a.peer_types or a.kv).split(",")]
    for model in a.model:
        model = model if Path(model).exists() else str(common.MODELS / model)
        common.warm(model)
        a.level, a.pairs = None, {}
        best = measure(a, model, types, peers)
        print(f"\n{Path(model).name}, {a.threads} threads, {a.level}; tokens per second" + (f"; lcpp: {a.peer_name}" if peers else ""))
        rows = [{"model": Path(model).name, **row} for row in report(a, best)]
        if rows and not a.no_record:
            common.record(rows)


if __name__ == "__main__":
    main()
