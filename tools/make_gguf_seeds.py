#!/usr/bin/python3
"""Writes the seeds of tests/fuzz/fuzz_gguf.c: small GGUF files with one of everything, and some that lie.

    tools/make_gguf_seeds.py tests/fuzz/seeds/gguf
"""
import os
import struct
import sys

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144),
         "IQ4_NL": (20, 32, 18), "I32": (26, 1, 4), "BF16": (30, 1, 2), "MXFP4": (39, 32, 17)}


def text(s):
    s = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(s)) + s


def value(kind, v):
    return text(v) if kind == STRING else struct.pack("<" + FORMATS[kind], v)


def kv(key, kind, v):
    return text(key) + struct.pack("<I", kind) + value(kind, v)


def array(key, kind, values, claim=None):
    head = text(key) + struct.pack("<IIQ", ARRAY, kind, len(values) if claim is None else claim)
    return head + b"".join(value(kind, v) for v in values)


def build(kvs, tensors=(), version=3, align=32, n_kv=None, n_tensors=None):
    infos, data = b"", b""
    for name, kind, shape in tensors:
        number, block, size = TYPES[kind]
        data += bytes(-len(data) % align)
        infos += text(name) + struct.pack("<I", len(shape)) + struct.pack("<%dQ" % len(shape), *shape)
        infos += struct.pack("<IQ", number, len(data))
        elements = 1
        for n in shape:
            elements *= n
        data += bytes(i & 255 for i in range(elements // block * size))
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors) if n_tensors is None else n_tensors,
                                 len(kvs) if n_kv is None else n_kv)
    head += b"".join(kvs) + infos
    return head + (bytes(-len(head) % align) + data if data else b"")


def seeds():
    scalars = [kv("s%d" % kind, kind, 1) for kind in FORMATS] + [kv("text", STRING, "hello")]
    arrays = [array("a%d" % kind, kind, [0, 1, 1]) for kind in FORMATS] + [array("texts", STRING, ["a", "", "ccc"])]
    tensors = [("t." + kind, kind, (256, 2)) for kind in ("Q4_K", "MXFP4")] + [
        ("blk.0.%s" % kind, kind, shape) for kind, shape in
        (("F32", (4,)), ("F16", (2, 3)), ("Q4_0", (32, 2)), ("Q8_0", (32, 1, 2)), ("IQ4_NL", (32,)),
         ("I32", (3, 1, 1, 2)), ("BF16", (5,)))]
    model = [kv("general.architecture", STRING, "llama"), kv("llama.block_count", U32, 1),
             kv("llama.attention.layer_norm_rms_epsilon", F32, 1e-5), kv("tokenizer.ggml.model", STRING, "gpt2"),
             array("tokenizer.ggml.tokens", STRING, ["<s>", "a", "b", "ab"]),
             array("tokenizer.ggml.merges", STRING, ["a b"]), array("tokenizer.ggml.token_type", I32, [3, 1, 1, 1])]
    yield "empty", build([])
    yield "version2", build(scalars, version=2)
    yield "scalars", build(scalars)
    yield "arrays", build(arrays)
    yield "tensors", build([], tensors)
    yield "model", build(model, tensors)
    yield "alignment8", build([kv("general.alignment", U32, 8)], tensors[2:5], align=8)
    yield "alignment24", build([kv("general.alignment", U32, 24)], tensors[2:5], align=24)
    yield "split", build([kv("split.no", U16, 0), kv("split.count", U16, 1), kv("split.tensors.count", I32, 1)],
                         tensors[2:3])
    yield "split_of_2", build([kv("split.no", U16, 1), kv("split.count", U16, 2)], tensors[2:3])
    yield "duplicate_keys", build([kv("k", U8, 1), kv("k", U8, 2)])
    yield "duplicate_tensors", build([], [tensors[2], tensors[2]])
    yield "big_endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0)
    yield "many_keys", build(scalars, n_kv=1 << 60)
    yield "many_tensors", build([], tensors[2:3], n_tensors=1 << 60)
    yield "long_array", build([array("a", U64, [1], claim=1 << 61)])
    yield "long_string", build([text("k") + struct.pack("<IQ", STRING, (1 << 64) - 1)])
    yield "nested", build([text("k") + struct.pack("<IIQ", ARRAY, ARRAY, 1) + struct.pack("<IQ", U8, 0)])
    yield "header_only", build([], tensors)[:420]


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    for name, data in seeds():
        with open(os.path.join(sys.argv[1], name), "wb") as f:
            f.write(data)


main()
