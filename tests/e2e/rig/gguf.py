"""Writes GGUF headers, with or without data, for tests that need models nobody has on disk."""
import struct

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
