"""kvasir serve under load and shortage: memory, floods, hostile framing."""
import random


import pytest

from conftest import kvasir, tiny
from serving import (
    Server, cached, finish_of, words)


@pytest.mark.parametrize("kv, memory", [("f16", "1M"), ("q8", "1M"), ("q4", "1300K")])
def test_admitted_answers_reach_the_end_of_the_context(kv, memory):
    """The context is chosen to fit the budget; so does the mark at the end of the prompt, wherever that is."""
    ids = random.Random(3)
    with Server("-t", "1", "--kv-memory", memory, "--kv", kv, "--slots", "1", model=tiny("gemma3"), template=None) as s:
        ctx = s.get("/v1/models").json["data"][0]["ctx"]
        for share in (0.1, 0.5, 0.9):
            prompt = [ids.randrange(300) for _ in range(int(ctx * share))]
            answer = s.complete(prompt, ctx)
            assert finish_of(answer) in ("length", "stop")
            if finish_of(answer) == "length":
                assert answer["usage"]["total_tokens"] == ctx + 1


def test_marks_go_before_a_step_fails():
    """A context that fits the budget without its mark is full before anything fails."""
    prompt = " ".join(random.Random(1).choice(["ab", "cd", "ef", "gh"]) for _ in range(60))
    kvasir("run", tiny("gemma3"), "--raw", "-p", prompt, "--ignore-eos", "--temp", "0", "--kv-memory", "1M", "-t", "1", "--ctx", 3200,
           "--no-progress")


def test_shared_blocks_count_once():
    """Many conversations with one beginning fit a pool that could not hold each of them whole."""
    begin = words("common", 200)
    with Server("-t", "1", "--ctx", "4096", "--kv-memory", "3M", "--slots", "2") as s:
        for i in range(12):
            answer = s.complete(begin + words(f"tail{i}", 20), 4)
            assert i == 0 or cached(answer) > 1000
        metrics = s.metrics()
        assert metrics["kvasir_evictions_total"] == 0 and metrics["kvasir_sequences_kept"] == 12
        assert metrics['kvasir_kv_bytes{state="kept"}'] > metrics['kvasir_kv_bytes{state="budget"}']
