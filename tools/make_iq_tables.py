#!/usr/bin/python3
"""Writes src/quant/iq_tables.c from ggml's ggml-common.h.

    tools/make_iq_tables.py path/to/ggml-common.h > src/quant/iq_tables.c

The grids are facts of the formats. Here they are packed: two bits (three for IQ3) per element, which macros expand
while compiling.
"""
import re
import sys

GRIDS = [  # name, C type, elements per row, bits per code, levels by code, macro
    ("iq2xxs_grid", "uint64_t", 8, 2, [8, 25, 43], "A"),
    ("iq2xs_grid", "uint64_t", 8, 2, [8, 25, 43], "A"),
    ("iq2s_grid", "uint64_t", 8, 2, [8, 25, 43], "A"),
    ("iq3xxs_grid", "uint32_t", 4, 3, [4, 12, 20, 28, 36, 44, 52, 62], "B"),
    ("iq3s_grid", "uint32_t", 4, 3, [1, 3, 5, 7, 9, 11, 13, 15], "C"),
    ("iq1s_grid", "uint64_t", 8, 2, [255, 0, 1], "D"),
]

HEAD = """/* Written by tools/make_iq_tables.py from ggml's ggml-common.h; do not edit. */
#include "quant/iq_tables.h"

const int8_t iq4nl_values[16] = {%s};
const int8_t fp4_values[16] = {%s};

/* A row of a grid from the codes of its elements, the first element in the lowest bits and in the lowest byte. P puts
   element i of code c there: byte number (code of element i) of the levels packed in v. */
#define P(c, i, bits, v) ((v) >> (((c) >> (bits) * (i) & ((1 << (bits)) - 1)) * 8) & 255ull) << 8 * (i)
#define ROW4(c, bits, v) (P(c, 0, bits, v) | P(c, 1, bits, v) | P(c, 2, bits, v) | P(c, 3, bits, v))
#define ROW8(c, bits, v) (ROW4(c, bits, v) | ROW4((c) >> 8, bits, v) << 32)
#define A(c) ROW8(c, 2, %s)
#define B(c) ROW4(c, 3, %s)
#define C(c) ROW4(c, 3, %s)
#define D(c) ROW8(c, 2, %s)

/* clang-format off */"""


def table(text, name):
    body = re.search(r"GGML_TABLE_BEGIN\(\w+, %s, \w+\)(.*?)GGML_TABLE_END" % name, text, re.S).group(1)
    body = re.sub(r"//.*", "", body)
    return [int(x, 0) for x in re.findall(r"-?(?:0x)?[0-9a-fA-F]+", body)]


def packed_levels(levels):
    return "0x%xull" % sum(v << 8 * i for i, v in enumerate(levels))


def main():
    text = open(sys.argv[1]).read()
    four = [", ".join(map(str, table(text, n))) for n in ("kvalues_iq4nl", "kvalues_fp4")]
    levels = {macro: packed_levels(v) for _, _, _, _, v, macro in GRIDS}
    print(HEAD % (*four, levels["A"], levels["B"], levels["C"], levels["D"]))
    for name, ctype, elements, bits, values, macro in GRIDS:
        rows = table(text, name)
        codes = [sum(values.index(row >> 8 * i & 255) << bits * i for i in range(elements)) for row in rows]
        print("\nconst %s %s[%d] = {" % (ctype, name, len(codes)))
        digits = (elements * bits + 3) // 4
        per_line = 10
        for i in range(0, len(codes), per_line):
            print("    " + " ".join("%s(0x%0*x)," % (macro, digits, c) for c in codes[i:i + per_line]))
        print("};")


main()
