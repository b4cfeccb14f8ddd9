import json

import pytest

from conftest import data, kvasir, kvasir_json, real_model
from shapes import DECODE, TOKENIZE, check

VOCABULARIES = ["smollm2-135m-q4_1", "qwen2.5-coder-1.5b-q4_k_m", "gemma3-270m-q4_k_m"]
SAMPLE = 150  # the unit tests run all records; here the way through the command is tested


def records(name):
    lines = [json.loads(line) for line in data(f"tokenizer/{name}.jsonl").read_text().split("\n") if line]
    lines = [r for r in lines if r.get("ids") is not None and r["class"] != "invalid"]
    return lines[:: max(1, len(lines) // SAMPLE)]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_reference_records(name):
    model, wanted = real_model(f"{name}.gguf"), records(name)
    requests = [{k: r[k] for k in ("text", "bytes_hex", "add_special", "parse_special") if k in r} for r in wanted]
    done = kvasir("tokenize", model, "--jsonl", input="".join(json.dumps(r) + "\n" for r in requests))
    answers = [json.loads(line)["ids"] for line in done.stdout.splitlines()]
    assert len(answers) == len(wanted) > 10
    for record, ids in zip(wanted, answers):
        assert ids in (record["ids"], record.get("second")), record


def test_round_trip(llama):
    text = "Hello, world!\n  two spaces, tabs\t, 日本語 and 🙂\n"
    ids = kvasir("tokenize", llama, "--no-bos", input=text).stdout
    assert kvasir("tokenize", llama, "--decode", input=ids).stdout == text.encode()
    document = kvasir_json("tokenize", llama, "--no-bos", "-p", text)
    check(document, TOKENIZE)
    assert document["ids"] == [int(i) for i in ids.split()] and document["n"] == len(document["ids"])
    back = kvasir_json("tokenize", llama, "-d", input=json.dumps(document["ids"]))
    check(back, DECODE)
    assert back["text"] == text


def test_file_and_prompt_are_the_same(llama, tmp_path):
    (tmp_path / "t.txt").write_text("some text")
    assert kvasir("tokenize", llama, "-f", tmp_path / "t.txt").stdout == kvasir("tokenize", llama, "-p", "some text").stdout
    assert kvasir("tokenize", llama, "-f", "-", input="some text").stdout == kvasir("tokenize", llama, "-p", "some text").stdout


def test_pieces(llama):
    lines = kvasir("tokenize", llama, "--pieces", "-p", "ab c").stdout.decode().splitlines()
    assert "".join(json.loads(line.split("\t")[1]) for line in lines).endswith("ab c")


def test_special(smollm):
    one = kvasir_json("tokenize", smollm, "-p", "<|im_end|>")["ids"]
    assert len(one) == 1
    plain = kvasir_json("tokenize", smollm, "--no-special", "-p", "<|im_end|>")["ids"]
    assert len(plain) > 1 and one[0] not in plain
    assert kvasir("tokenize", smollm, "-d", "-p", str(one[0])).stdout == b"<|im_end|>"
    assert kvasir("tokenize", smollm, "-d", "--hide-special", "-p", str(one[0])).stdout == b""


def test_jsonl_answers_every_line(llama):
    lines = ['{"text":"a"}', "nonsense", '{"bytes_hex":"61"}', '{"bytes_hex":"6"}', '{"other":1}', "", '[1]', '{"text":"nul \\u0000"}']
    done = kvasir("tokenize", llama, "--jsonl", input="\n".join(lines), code=1)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [sorted(a) for a in answers] == [["ids"], ["error"], ["ids"], ["error"], ["error"], ["error"], ["ids"]]
    assert answers[0] == answers[2]


def test_jsonl_bytes_that_are_no_text(llama):
    ids = json.loads(kvasir("tokenize", llama, "--jsonl", input='{"bytes_hex":"80","add_special":false}').stdout)["ids"]
    ids = ids if ids else [0]
    answer = json.loads(kvasir("tokenize", llama, "--jsonl", "-d", input=json.dumps({"ids": ids})).stdout)
    assert "text" in answer
    assert "error" in json.loads(kvasir("tokenize", llama, "--jsonl", "-d", input='{"ids":[99999999]}', code=1).stdout)


@pytest.mark.parametrize("ids", ["1 2 x", "[1, 2", "[1] 2", "-1", "99999999999", "9999999", "1.5"])
def test_bad_ids(llama, ids):
    assert kvasir("tokenize", llama, "--decode", input=ids, code=2).stdout == b""


@pytest.mark.parametrize("ids", ["5 6 7", "5,6,7", "[5,6,7]", " [ 5 , 6 ,7 ]\n", "5\n6\n7\n"])
def test_notations_of_ids(llama, ids):
    assert kvasir_json("tokenize", llama, "--decode", input=ids)["ids"] == [5, 6, 7]


def test_missing_input(llama, tmp_path):
    assert b"absent" in kvasir("tokenize", llama, "-f", tmp_path / "absent", code=1).stderr
    assert kvasir("tokenize", llama, "--jsonl", "-f", tmp_path / "absent", code=1).stdout == b""
