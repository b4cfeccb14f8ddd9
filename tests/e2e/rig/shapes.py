"""What the JSON documents of docs/json.md look like, checked field by field."""

NUMBER = (int, float)
OPTIONAL_NUMBER = (int, float, type(None))
OPTIONAL_INT = (int, type(None))
OPTIONAL_TEXT = (str, type(None))
MEMORY = {"rss_bytes": int, "peak_rss_bytes": int, "weights_bytes": int, "workspace_bytes": int}
KV = {"type_k": str, "type_v": str, "bytes_used": int, "bytes_budget": int}

RUN = {
    "schema": str, "model": str, "text": str, "ids": [int], "prompt_tokens": int, "generated_tokens": int,
    "drafted": int, "accepted": int, "stop_reason": str, "depth": int, "ctx": int, "seed": int,
    "timings": {"load_ms": NUMBER, "prefill_ms": NUMBER, "prefill_tps": NUMBER, "ttft_ms": NUMBER,
                "decode_ms_per_token": OPTIONAL_NUMBER, "decode_tps": OPTIONAL_NUMBER},
    "kv": KV, "memory": MEMORY,
}
INSPECT = {
    "schema": str, "path": str, "architecture": str, "name": str, "gguf_version": int, "files": int, "parameters": int,
    "file_bytes": int, "tensor_bytes": int, "layers": OPTIONAL_INT, "embd": OPTIONAL_INT, "heads": OPTIONAL_INT,
    "heads_kv": OPTIONAL_INT, "head_dim": OPTIONAL_INT, "ff": OPTIONAL_INT, "ctx_train": OPTIONAL_INT, "experts": OPTIONAL_INT,
    "experts_used": OPTIONAL_INT, "window": OPTIONAL_INT,
    "tokenizer": {"model": str, "pre": str, "size": OPTIONAL_INT, "bos": int, "eos": int, "adds_bos": bool, "adds_eos": bool},
    "chat_template": (str, type(None)),
    "kv_streams": [{"layer": int, "name": str, "type": str, "rows_per_token": int, "row_bytes": NUMBER, "page_bytes": int,
                    "head_dim": int, "window": int}],
    "kv_bytes_per_token": {"f16": OPTIONAL_NUMBER, "q8": OPTIONAL_NUMBER, "q4": OPTIONAL_NUMBER}, "ctx": OPTIONAL_INT,
    "kv_bytes_at_ctx": {"f16": OPTIONAL_NUMBER, "q8": OPTIONAL_NUMBER, "q4": OPTIONAL_NUMBER},
    "problems": [str], "notes": [str], "metadata": dict,
    "tensors": [{"name": str, "type": str, "shape": [int], "bytes": int, "offset": int, "file": int}],
}
LOGITS = {
    "schema": str, "tokens": int, "n_vocab": int, "greedy": [int],
    "rows": [{"position": int, "argmax": int, "logit": NUMBER, "logsumexp": NUMBER}], "kv": KV, "memory": MEMORY,
}
PPL = {
    "schema": str, "ppl": NUMBER, "ppl_error": OPTIONAL_NUMBER, "nll": NUMBER, "tokens": int, "ctx": int, "chunks": int,
    "chunk_ppl": [NUMBER], "kv": str, "memory": MEMORY,
}
KLD_TYPE = {
    "kv": str, "same_top": NUMBER, "ppl": NUMBER, "chunk_ppl": [NUMBER],
    "kld": {"mean": NUMBER, "error": OPTIONAL_NUMBER, "median": NUMBER, "p99": NUMBER, "p999": NUMBER, "max": NUMBER},
}
KLD = {
    "schema": str, "ref_kv": str, "tokens": int, "ctx": int, "chunks": int, "ppl_ref": NUMBER, "memory": MEMORY,
    **KLD_TYPE, "types": [KLD_TYPE],
}
BENCH = {
    "schema": str,
    "rows": [{"name": str, "unit": str, "value": NUMBER, "limit": OPTIONAL_NUMBER, "share": OPTIONAL_NUMBER, "threads": int}],
}
PROBE = {
    "schema": str, "name": str, "cpu": str, "date": str, "cores": int, "numa_nodes": OPTIONAL_INT, "cache_bytes": OPTIONAL_INT,
    "memory_bytes": int, "available_bytes": OPTIONAL_INT, "limit_bytes": OPTIONAL_INT, "swap_bytes": int, "swap_free_bytes": int,
    "disk_bytes_per_s": OPTIONAL_NUMBER, "page_cache_bytes_per_s": OPTIONAL_NUMBER, "busy_cores": NUMBER, "spread": NUMBER,
    "teams": [{"threads": int, "level": str, "read_bytes_per_s": OPTIONAL_NUMBER, "int8_ops_per_s": OPTIONAL_NUMBER,
               "f32_ops_per_s": OPTIONAL_NUMBER, "barrier_s": OPTIONAL_NUMBER}],
    "kernels": [{"name": str, "level": str, "threads": int, "unit": str, "rate": NUMBER}],
    "gpus": [{"name": str, "unified": bool, "memory_bytes": int, "free_bytes": OPTIONAL_INT, "read_bytes_per_s": OPTIONAL_NUMBER,
              "link_bytes_per_s": OPTIONAL_NUMBER}],
}
PROBE_LIST = {"schema": str, "machines": [{"name": str, "machine": str}]}
ROW = {
    "kv_k": str, "kv_v": str, "depth": int, "prefill_tps": OPTIONAL_NUMBER, "decode_tps": OPTIONAL_NUMBER,
    "decode_ms_p50": OPTIONAL_NUMBER, "decode_ms_p95": OPTIONAL_NUMBER, "ttft_ms": OPTIONAL_NUMBER,
    "read_bytes_per_s": OPTIONAL_NUMBER, "floor_ms": OPTIONAL_NUMBER, "floor_ratio": OPTIONAL_NUMBER,
    "rss_bytes": (int, type(None)), "kv_bytes": (int, type(None)), "step_bytes": (int, type(None)), "major_faults": (int, type(None)),
    "error": (str, type(None)),
}
SWEEP = {
    "schema": str, "version": str, "complete": bool,
    "machine": {"cpu": str, "level": str, "threads": int, "read_bytes_per_s": NUMBER},
    "model": {"path": str, "name": str, "architecture": str, "parameters": int, "file_bytes": int, "fingerprint": str},
    "options": {"depths": [int], "kv": [str], "pp": int, "tg": int, "repeat": int, "chunk": int, "text": (str, type(None)),
                "text_hash": str},
    "rows": [ROW], "memory": MEMORY,
}
RATIO = {"a": NUMBER, "b": NUMBER, "ratio": OPTIONAL_NUMBER}
SWEEP_COMPARE = {
    "schema": str, "a": str, "b": str,
    "rows": [{"kv_k": str, "kv_v": str, "depth": int, "prefill_tps": RATIO, "decode_tps": RATIO, "ttft_ms": RATIO,
              "kv_bytes": RATIO}],
}
ESTIMATE = {"est": NUMBER, "lo": NUMBER, "hi": NUMBER, "basis": str}
QUALITY_TYPE = {
    "kv": str, "date": str, "holds": bool, "depth": int, "kld_median": OPTIONAL_NUMBER, "kld_p999": OPTIONAL_NUMBER,
    "kld_floor": OPTIONAL_NUMBER, "kld": OPTIONAL_NUMBER, "same_top": OPTIONAL_NUMBER, "ppl": OPTIONAL_NUMBER,
    "ppl_ref": OPTIONAL_NUMBER, "tokens": int, "forced_kld": OPTIONAL_NUMBER, "forced_same_top": OPTIONAL_NUMBER, "forced": int,
    "needles": int, "needles_found": int, "deepest": int,
}
QUALITY = {
    "schema": str, "version": str, "model": {"name": OPTIONAL_TEXT, "architecture": str, "parameters": int, "tensor_bytes": int},
    "types": [QUALITY_TYPE],
}
PLAN_MODEL = {
    "quality": [{**QUALITY_TYPE, "shipped": bool}],
    "speed": [{"depth": int, "kv": str, "decode_tps": ESTIMATE, "prefill_s": ESTIMATE, "batch_tps": ESTIMATE, "floor_ms": NUMBER}],
    "model": str, "architecture": str, "name": str, "runs": bool, "ctx_train": OPTIONAL_INT, "kv_assumed": bool, "kv_note": OPTIONAL_TEXT, "weights_bytes": int, "kv_bytes": OPTIONAL_INT,
    "kv_shared_bytes": OPTIONAL_INT, "kv_sequence_bytes": OPTIONAL_INT, "mark_bytes": OPTIONAL_INT, "state_bytes": OPTIONAL_INT,
    "workspace_bytes": OPTIONAL_INT, "buffer_bytes": OPTIONAL_INT, "total_bytes": int,
    "weights": [{"type": str, "place": str, "tensors": int, "file_bytes": int, "bytes": int}],
    "streams": [{"layer": int, "name": str, "type": str, "heads": int, "head_dim": int, "window": int, "ratio": int,
                 "row_bytes": NUMBER, "bytes": int}],
    "states": [{"layer": int, "name": str, "bytes": int}],
    "max_ctx": {"f16": OPTIONAL_INT, "q8": OPTIONAL_INT, "q4": OPTIONAL_INT}, "spill_depth": OPTIONAL_INT,
    "chosen": {"ctx": OPTIONAL_INT, "kv_k": OPTIONAL_TEXT, "kv_v": OPTIONAL_TEXT, "threads": int, "batch": int, "why": [str]},
    "peer": (dict, type(None)),
}
PLAN_TOTALS = {
    "total_bytes": int, "total_is_least": bool, "fits": (bool, type(None)), "missing_bytes": OPTIONAL_INT, "program_bytes": int, "budget_bytes": int, "reserve_bytes": int,
    "margin_bytes": int, "users": int, "prefix": int, "would_fit": [str], "notes": [str],
}
PLAN = {"schema": str, **PLAN_MODEL, **PLAN_TOTALS}
PLAN_MANY = {"schema": str, "models": [PLAN_MODEL], "totals": PLAN_TOTALS}
PLAN_PEER = {
    "name": str, "type_k": str, "type_v": str, "ctx": int, "kv_bytes": OPTIONAL_INT, "state_bytes": OPTIONAL_INT,
    "bytes_per_token": OPTIONAL_NUMBER, "gpu_layers": int, "args": [str], "error": OPTIONAL_TEXT,
    "buffers": [{"name": str, "cells": int, "layers": int, "state": bool, "k_bytes": int, "v_bytes": int}],
}
VERIFY = {
    "schema": str, "version": str, "model": {"path": str, "name": str, "architecture": str},
    "machine": {"cpu": str, "level": str, "threads": int, "profile": OPTIONAL_TEXT},
    "options": {"ctx": int, "kv": str, "depths": [int], "steps": [str], "quick": bool, "text": OPTIONAL_TEXT},
    "checks": [{"step": str, "name": str, "predicted": OPTIONAL_NUMBER, "low": OPTIONAL_NUMBER, "high": OPTIONAL_NUMBER,
                "measured": OPTIONAL_NUMBER, "unit": str, "ok": (bool, type(None)), "why": OPTIONAL_TEXT}],
    "missing": [str], "warnings": int, "ok": bool, "memory": MEMORY,
}
TUNE_SIDE = {
    "kv": str, "threads": int, "chunk": int, "draft": str, "job_s": [NUMBER], "prefill_tps": OPTIONAL_NUMBER,
    "decode_tps": OPTIONAL_NUMBER,
}
CONFIG = {
    "schema": str, "version": str, "date": str, "complete": bool,
    "model": {"path": str, "name": str, "file_bytes": int, "fingerprint": str},
    "machine": {"cpu": str, "cores": int, "level": str}, "ctx": int, "kv_k": str, "kv_v": str, "threads": int, "chunk": int,
    "draft": str, "cpu": OPTIONAL_TEXT, "kv_memory_bytes": int, "budget_bytes": int, "reserve_bytes": int, "margin_bytes": int,
    "depth": int,
    "options": {"ctx": int, "want_ctx": int, "budget_bytes": int, "reserve_bytes": int, "depth": int, "repeat": int,
                "threads": int, "text_hash": str},
    "memory": [{"kv": str, "total_bytes": int, "kv_bytes": int, "fits": bool, "quality_fails": bool}],
    "evidence": [{"step": str, "a": TUNE_SIDE, "b": TUNE_SIDE, "a_s": OPTIONAL_NUMBER, "b_s": OPTIONAL_NUMBER,
                  "gain": OPTIONAL_NUMBER, "margin": NUMBER, "rounds": int, "wins": int, "taken": bool,
                  "error": OPTIONAL_TEXT}],
}
TUNE = {"schema": str, "out": str, "seconds": NUMBER, "config": CONFIG, "memory": MEMORY}
LIST = {
    "schema": str, "cache": str,
    "models": [{"name": str, "call": str, "path": str, "files": [str], "bytes": int, "architecture": OPTIONAL_TEXT,
                "parameters": OPTIONAL_INT, "type": OPTIONAL_TEXT, "date": str, "fetched": bool, "url": OPTIONAL_TEXT,
                "problem": OPTIONAL_TEXT}],
    "unfinished": [{"name": str, "path": str, "bytes": int}],
}
RM = {"schema": str, "removed": [{"name": str, "path": str, "files": [str], "bytes": int}], "bytes": int}
TOKENIZE = {"schema": str, "ids": [int], "n": int}
DECODE = {"schema": str, "ids": [int], "text": str}
TEMPLATE = {"schema": str, "prompt": str}


def check(value, shape, where="document"):
    """Every field of the shape is there with its type, and no other field."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), f"{where}: {value!r} is no object"
        assert set(value) == set(shape), f"{where}: {sorted(set(value) ^ set(shape))} differ"
        for key, inner in shape.items():
            check(value[key], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), f"{where}: {value!r} is no list"
        for i, item in enumerate(value):
            check(item, shape[0], f"{where}[{i}]")
    else:
        wanted = shape if isinstance(shape, tuple) else (shape,)
        assert isinstance(value, wanted) and not (isinstance(value, bool) and bool not in wanted), \
            f"{where}: {value!r} is no {shape}"
