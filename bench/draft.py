#!/usr/bin/env python3
"""Generation with --draft lookup against generation without, on the same prompts: repeat a quoted text, repeat it with a
word replaced, and write something new.

Both sides run --rounds times in turns; the best decode speed of each counts. Their ids must be equal. A ratio above 1: the
draft is faster.
"""
import argparse
import json
import subprocess
from pathlib import Path

import common

QUOTE = "\n\n" + common.TEXT.read_text()[:1500]
TASKS = {
    "repeat": "Repeat the following text exactly:" + QUOTE,
    "edit": 'Repeat the following text exactly, but replace the word "God" by "Lord":' + QUOTE,
    "new": "Write a short story about a lighthouse keeper who finds a strange map.",
}


def run(a, model, prompt, draft):
    command = [common.BUILD / "src/cli/kvasir", "run", model, "-p", prompt, "-n", a.decode, "--temp", 0, "--ignore-eos",
               "--threads", a.threads, "--ctx", 4096, "--kv", a.kv, "--draft", draft, "--json"]
    done = subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+", help="GGUF files, or names in the models folder")
    parser.add_argument("--tasks", default=",".join(TASKS), help="of %(default)s")
    parser.add_argument("--decode", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kv", default="f16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-record", action="store_true", help="do not append to bench/results")
    a = parser.parse_args()
    for model in a.model:
        model = model if Path(model).exists() else str(common.MODELS / model)
        common.warm(model)
        print(f"{Path(model).name}, {a.threads} threads, KV {a.kv}; tokens per second")
        print(f"{'task':10} {'none':>9} {'lookup':>9} {'ratio':>7} {'drafted':>9} {'accepted':>9}")
        rows = []
        for task in a.tasks.split(","):
            best, last = {"none": 0, "lookup": 0}, {}
            for turn in range(a.rounds):
                for draft in ("none", "lookup") if turn % 2 == 0 else ("lookup", "none"):
                    last[draft] = run(a, model, TASKS[task], draft)
                    best[draft] = max(best[draft], last[draft]["timings"]["decode_tps"])
            if last["none"]["ids"] != last["lookup"]["ids"]:
                raise SystemExit(f"{task}: the draft has changed what is generated")
            ratio = best["lookup"] / best["none"]
            print(f"{task:10} {best['none']:9.2f} {best['lookup']:9.2f} {ratio:7.2f} {last['lookup']['drafted']:9} "
                  f"{last['lookup']['accepted']:9}")
            rows.append({"threads": a.threads, "model": Path(model).name, "test": f"draft {task} {a.decode} {a.kv}",
                         "depth": last["none"]["prompt_tokens"], "unit": "t/s", "kvasir": round(best["lookup"], 3),
                         "peer": round(best["none"], 3), "ratio": round(ratio, 3), "peer_name": "kvasir without a draft"})
        if not a.no_record:
            common.record(rows)


if __name__ == "__main__":
    main()
