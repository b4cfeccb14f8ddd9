#!/usr/bin/env python3
"""make_plan_seeds.py FOLDER: writes the seeds of fuzz_plan, a small header of each architecture."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import gguf  # noqa: E402

LAYERS = 4
COMMON = {"block_count": LAYERS, "context_length": 4096, "embedding_length": 256, "attention__head_count": 4,
          "attention__head_count_kv": 2, "attention__key_length": 64, "attention__value_length": 64}
SSM = {"ssm__conv_kernel": 4, "ssm__inner_size": 256, "ssm__state_size": 64, "ssm__group_count": 2, "full_attention_interval": 4}
WINDOW = {"attention__sliding_window": 128}
MLA = {"attention__head_count_kv": 1, "attention__key_length": 96, "attention__key_length_mla": 64}
INDEX = {"attention__indexer__key_length": 32}
SEEDS = {
    "llama": {}, "qwen2": {"attention__head_count_kv": [2, 2, 0, 1]}, "qwen3": {}, "qwen3moe": {}, "gemma3": WINDOW, "gpt-oss": WINDOW,
    "gemma4": WINDOW | {"attention__sliding_window_pattern": [True, True, False, True], "attention__key_length_swa": 32,
                        "attention__shared_kv_layers": 1},
    "qwen35": SSM, "qwen35moe": SSM, "qwen3next": SSM | {"nextn_predict_layers": 1}, "deepseek2": MLA,
    "deepseek32": MLA | INDEX, "glm-dsa": MLA | INDEX | {"nextn_predict_layers": 1},
    "deepseek4": WINDOW | INDEX | {"attention__head_count_kv": 1, "attention__compress_ratios": [0, 128, 4, 128]},
    "mystery": {},
}

for name, keys in SEEDS.items():
    tensors = [("token_embd.weight", "Q8_0", (256, 100)), ("blk.0.indexer.proj.weight", "F32", (16, 4))]
    gguf.write(Path(sys.argv[1]) / name, gguf.header(name, **(COMMON | keys)), tensors)
