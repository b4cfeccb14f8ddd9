"""Writes GGUF headers, with or without data, for tests that need models nobody has on disk."""
import struct
from pathlib import Path

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144), "Q6_K": (14, 256, 210)}


def text(s):
    s = s.encode()
    return struct.pack("<Q", len(s)) + s


def value(v):
    """A Python value as GGUF has it: (type number, bytes)."""
    if isinstance(v, bool):
        return BOOL, struct.pack("<?", v)
    if isinstance(v, int):
        return (U32, struct.pack("<I", v)) if 0 <= v < 1 << 32 else (U64, struct.pack("<Q", v & (1 << 64) - 1))
    if isinstance(v, float):
        return F32, struct.pack("<f", v)
    if isinstance(v, str):
        return STRING, text(v)
    kind = value(v[0])[0]
    return ARRAY, struct.pack("<IQ", kind, len(v)) + b"".join(value(x)[1] for x in v)


def write(path, metadata, tensors=(), data=False):
    """tensors: (name, type, shape) in their order. Without `data` the file ends where the data would begin."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, v in metadata.items():
        kind, raw = value(v)
        out += text(key) + struct.pack("<I", kind) + raw
    at = 0
    for name, kind, shape in tensors:
        number, block, size = TYPES[kind]
        out += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        out += struct.pack("<IQ", number, at)
        n = 1
        for d in shape:
            n *= d
        at += -(-(n // block * size) // 32) * 32
    if data:
        out += bytes(-len(out) % 32 + at)
    path.write_bytes(out)
    return str(path)


def header(architecture, **keys):
    """Metadata of an architecture: `attention__head_count=8` is ARCHITECTURE.attention.head_count."""
    out = {"general.architecture": architecture}
    for key, v in keys.items():
        out[f"{architecture}.{key.replace('__', '.')}"] = v
    return out


SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def end_of_value(data, at, kind):
    if kind == 8:
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    if kind != 9:
        return at + SIZES[kind]
    element, n = struct.unpack_from("<IQ", data, at)
    at += 12
    if element in SIZES:
        return at + n * SIZES[element]
    for _ in range(n):
        at = end_of_value(data, at, element)
    return at


def with_keys(source, path, keys, without=()):
    """A copy of a whole file (of the default alignment) with more keys, or others of their names, and without some."""
    data = Path(source).read_bytes()
    magic, version, n_tensors, n_keys = struct.unpack_from("<4sIQQ", data)
    at, entries = 24, []
    for _ in range(n_keys):
        start, at = at, end_of_value(data, at, 8)
        name = data[start + 8:at].decode()
        kind, = struct.unpack_from("<I", data, at)
        at = end_of_value(data, at + 4, kind)
        if name not in keys and name not in without:
            entries.append(data[start:at])
    for name, v in keys.items():
        kind, raw = value(v)
        entries.append(text(name) + struct.pack("<I", kind) + raw)
    infos = at
    for _ in range(n_tensors):
        at = end_of_value(data, at, 8)
        at += 4 + 8 * struct.unpack_from("<I", data, at)[0] + 12
    head = struct.pack("<4sIQQ", magic, version, n_tensors, len(entries)) + b"".join(entries) + data[infos:at]
    Path(path).write_bytes(head + bytes(-len(head) % 32) + data[at + -at % 32:])
    return path
