"""Peak memory: one copy of the weights and little else."""
import pytest

from conftest import kvasir_json, real_model

MIB = 1 << 20


def allowed(path):
    import os
    return os.path.getsize(path) * 1.12 + 64 * MIB


@pytest.mark.parametrize("name", ["smollm2-135m-q4_1", "gemma3-270m-q4_k_m"])
@pytest.mark.parametrize("more", [[], ["--ctx", "4096"]])
def test_peak(name, more):
    path = real_model(name + ".gguf")
    document = kvasir_json("run", path, "--raw", "-p", "The sun is", "-n", "6", "--ignore-eos", "--temp", "0", "-t", "2", *more)
    peak = document["memory"]["peak_rss_bytes"]
    assert peak <= allowed(path), f"{peak / MIB:.0f} MiB, at most {allowed(path) / MIB:.0f}"
