#!/usr/bin/env python3
"""How far the predictions of `kvasir plan` lie from what is measured: decode and prefill, over models, KV types and depths,
first from `kvasir probe` alone, then with a `kvasir sweep` of two depths besides. Prints each row, the median error and how many
measurements lie inside the 90% intervals, and appends the medians to bench/results.

The machine should be idle; the probe is made anew before each model, since memory may be slower a minute later, and what is
predicted is the usual speed: the median of --repeat turns, of two measurements the mean, before the sweep and after it (--once:
after it alone, in half of the time). How fast memory was at the probe and between the parts is printed: where that changes (some
machines have two states, 36 and 58 GB/s), no prediction from a probe can hold. With --keep what was measured stays in a folder,
for which --again predicts anew: so that a change to the prediction can be judged at once; depth.jsonl there has the measurements
with the types' ratios pair by pair.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import common  # noqa: E402

KVASIR = common.BUILD / "src/cli/kvasir"


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def predicted(a, model, machine, kv, sweep=None):
    """{(test, depth): (estimate, low, high)} in tokens per second."""
    more = ["--sweep", sweep] if sweep else []
    document = json.loads(run(KVASIR, "plan", model, "--machine", machine, "--kv", kv, "--depths", a.depths, "--ctx", a.ctx,
                              "--threads", a.threads, "--json", *more))
    rows = {}
    for row in document["speed"]:
        if row["kv"] == kv:
            for test, field in (("decode", "decode_tps"), ("prefill", "batch_tps")):
                rows[test, row["depth"]] = tuple(row[field][k] for k in ("est", "lo", "hi"))
    return rows


def measured(a, model, folder):
    """{(kv, test, depth): tokens per second}"""
    text = run(common.BUILD / "bench/depth", model, common.TEXT, "--threads", a.threads, "--prefill", 512, "--decode", 32,
                "--depths", a.depths, "--repeat", a.repeat, "--kv", a.kv)
    with open(folder / "depth.jsonl", "a") as log:
        log.write(text)
    return {(r["kv"], r["test"], r["depth"]): r["tps_median"] for r in map(json.loads, text.splitlines())}


def report(a, model, truth, guesses):
    """Prints the rows; [(basis, error, inside)]"""
    print(f"\n{Path(model).name}\n{'test':8} {'kv':6} {'depth':>6} {'measured':>9}" +
          "".join(f" {basis:>9} {'error':>7} {'inside':>6}" for basis in guesses))
    found = []
    for (kv, test, depth), tps in sorted(truth.items(), key=lambda item: (item[0][1], item[0][0], item[0][2])):
        line = f"{test:8} {kv:6} {depth:6} {tps:9.1f}"
        for basis, rows in guesses.items():
            estimate, low, high = rows[kv][test, depth]
            error, inside = estimate / tps - 1, low <= tps <= high
            found.append((basis, abs(error), inside))
            line += f" {estimate:9.1f} {100 * error:+6.1f}% {'yes' if inside else 'no':>6}"
        print(line)
    return found


def bandwidth(machine):
    """GB/s that all threads of a profile read."""
    return max(team["read_bytes_per_s"] or 0 for team in json.loads(machine.read_text())["teams"]) / 1e9


def bandwidth_now(a, folder):
    run(KVASIR, "probe", "--threads", a.threads, "--seconds", 2, "--out", folder / "now.json")
    return bandwidth(folder / "now.json")


def those_within(depths, ctx):
    return ",".join(d for d in depths.split(",") if int(d) + 512 <= ctx)


def measure_all(a, model, folder):
    """A probe, and a sweep of two depths between two measurements of the truth (--once: before one), as files in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    common.warm(model)
    for name in ("sweep.json", "depth.jsonl"):
        (folder / name).unlink(missing_ok=True)
    sweep_depths = those_within(a.sweep_depths, a.ctx)
    if "," not in sweep_depths:
        sys.exit(f"{model}: of --sweep-depths {a.sweep_depths} fewer than two are within its context of {a.ctx}")
    run(KVASIR, "probe", "--threads", a.threads, "--out", folder / "machine.json")
    memory, truths = [bandwidth(folder / "machine.json")], []
    if not a.once:
        truths.append(measured(a, model, folder))
        memory.append(bandwidth_now(a, folder))
    run(KVASIR, "sweep", model, "--depths", sweep_depths, "--kv", a.kv, "--pp", 512, "--threads", a.threads,
        "--repeat", a.repeat, "--out", folder / "sweep.json", "--no-progress")
    memory.append(bandwidth_now(a, folder))
    truths.append(measured(a, model, folder))
    memory.append(bandwidth_now(a, folder))
    mean = {key: statistics.harmonic_mean([truth[key] for truth in truths]) for key in truths[0]}
    (folder / "measured.json").write_text(json.dumps(list(mean.items())))
    (folder / "memory.json").write_text(json.dumps(memory))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+", help="GGUF files, or names in the models folder")
    parser.add_argument("--depths", default="0,4096,7168,16384,31744")
    parser.add_argument("--sweep-depths", default="0,7168", help="of the sweep that corrects; both must be within the context")
    parser.add_argument("--kv", default="f16,q8,q4")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5, help="turns of a measurement, and of the sweep")
    parser.add_argument("--once", action="store_true", help="measure once, after the sweep")
    parser.add_argument("--keep", type=Path, help="a folder for probes, sweeps and measurements")
    parser.add_argument("--again", type=Path, help="measure nothing: take what --keep has left in this folder")
    parser.add_argument("--no-record", action="store_true", help="do not append to bench/results")
    a = parser.parse_args()
    depths, found = a.depths, []
    with tempfile.TemporaryDirectory() as folder:
        for model in a.model:
            model = model if Path(model).exists() else str(common.MODELS / model)
            kept = (a.again or a.keep or Path(folder)) / Path(model).stem
            a.ctx = json.loads(run(KVASIR, "inspect", model, "--json"))["ctx_train"]
            a.depths = those_within(depths, a.ctx)
            if not a.again:
                measure_all(a, model, kept)
            truth = {tuple(key): tps for key, tps in json.loads((kept / "measured.json").read_text())}
            machine, types = kept / "machine.json", a.kv.split(",")
            guesses = {"probe": {kv: predicted(a, model, machine, kv) for kv in types},
                       "sweep": {kv: predicted(a, model, machine, kv, kept / "sweep.json") for kv in types}}
            found += report(a, model, truth, guesses)
            if (kept / "memory.json").exists():
                print("memory at the probe, between the parts and at the end, GB/s:",
                      *(f"{x:.1f}" for x in json.loads((kept / "memory.json").read_text())))
    rows = []
    print()
    for basis in ("probe", "sweep"):
        errors = [error for b, error, _ in found if b == basis]
        inside = [i for b, _, i in found if b == basis]
        median, share = statistics.median(errors), sum(inside) / len(inside)
        print(f"{basis}: median error {100 * median:.1f}%, largest {100 * max(errors):.1f}%, {100 * share:.0f}% inside the intervals, "
              f"{len(errors)} measurements")
        rows.append({"model": f"{len(a.model)} models", "threads": a.threads, "test": f"plan error after {basis}", "depth": 0,
                     "unit": "%", "kvasir": round(100 * median, 2), "peer": round(100 * share, 1), "ratio": "",
                     "peer_name": "share inside the 90% intervals"})
    if not (a.no_record or a.again):
        common.record(rows)


if __name__ == "__main__":
    main()
