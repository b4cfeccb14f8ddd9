#!/usr/bin/python3
"""Cuts the small copy of the quantisation fixtures that travels with the source.

    tools/make_golden_quant.py ../shared/fixtures/quant tests/golden/quant

Types of small blocks are copied whole. Of types with 256 elements per block one block of each of the cases below is
kept, which keeps the folder below 200 KB.
"""
import json
import os
import sys

KEPT = {"random", "minus_zero_scale", "negative_scale", "denormal_scale", "max_scale", "infinite_scale", "all_ones_bytes"}


def main():
    source, target = sys.argv[1:3]
    os.makedirs(target, exist_ok=True)
    golden = []
    for entry in json.load(open(os.path.join(source, "manifest.json"))):
        raw = open(os.path.join(source, entry["raw"]), "rb").read()
        f32 = open(os.path.join(source, entry["f32"]), "rb").read()
        n, size = entry["block_elements"], entry["block_bytes"]
        if n >= 128:
            out_raw, out_f32, cases = b"", b"", []
            for case in entry["cases"]:
                if case["case"] not in KEPT:
                    continue
                block = case["first"] // n
                cases.append({"case": case["case"], "first": len(out_f32) // 4, "count": n})
                out_raw += raw[block * size:(block + 1) * size]
                out_f32 += f32[block * n * 4:(block + 1) * n * 4]
            raw, f32 = out_raw, out_f32
            entry = {**entry, "cases": cases, "elements": len(f32) // 4}
        entry = {k: v for k, v in entry.items() if k not in ("nan", "inf")}
        golden.append(json.dumps(entry))
        for name, data in ((entry["raw"], raw), (entry["f32"], f32)):
            with open(os.path.join(target, name), "wb") as f:
                f.write(data)
    with open(os.path.join(target, "manifest.json"), "w") as f:
        f.write("[\n" + ",\n".join(golden) + "\n]\n")


main()
