import json
import subprocess

import pytest

from conftest import BIN, TEMPLATE, data, kvasir, kvasir_json
import shapes
from shapes import check

EVERY = 7  # the unit tests run all cases; here the way through the command is tested
NOW = "2026-01-15T09:05:07"


def cases():
    path = data("templates/cases.jsonl")
    if not path:
        return []
    return [json.loads(line) for line in path.read_text().split("\n") if line][::EVERY]


@pytest.mark.parametrize("case", cases(), ids=lambda c: f"{c['template']}-{c['case']}")
def test_reference_case(case):
    args = ["template", "--template", data(f"templates/{case['template']}"), "--now", NOW]
    context = json.dumps(case["context"], ensure_ascii=False)
    if "expected" in case:
        done = kvasir(*args, input=context)
        assert done.stdout.decode() == case["expected"]
    else:
        done = kvasir(*args, input=context, code=1)
        assert done.stdout == b"" and done.stderr.startswith(b"kvasir: ")
        if case["error"] == "raise":
            assert done.stderr.decode() == f"kvasir: {case['message']}\n"


def test_there_are_cases():
    assert cases() or not data("templates")


MESSAGES = {"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": True}


def test_document(tmp_path):
    (tmp_path / "v.json").write_text(json.dumps(MESSAGES))
    document = kvasir_json("template", "--template", TEMPLATE, "-f", tmp_path / "v.json")
    check(document, shapes.TEMPLATE)
    assert document["prompt"] == "<user>Hi</user>\n<assistant>"


def test_tokens_come_from_the_model(smollm, tmp_path):
    (tmp_path / "t.jinja").write_text("{{ bos_token }}|{{ eos_token }}")
    shown = kvasir("template", smollm, "--template", tmp_path / "t.jinja", input="{}").stdout
    assert shown == b"<|im_start|>|<|im_end|>"
    assert kvasir("template", smollm, "--template", tmp_path / "t.jinja", input='{"bos_token":"B"}').stdout == b"B|<|im_end|>"


def test_own_template(smollm):
    assert b"<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n" in kvasir("template", smollm, input=json.dumps(MESSAGES)).stdout


def test_model_without_template(llama):
    assert b"--template" in kvasir("template", llama, input="{}", code=2).stderr


def test_now(tmp_path):
    (tmp_path / "t.jinja").write_text("{{ strftime_now('%d %b %Y %H:%M:%S') }}")
    assert kvasir("template", "--template", tmp_path / "t.jinja", "--now", NOW, input="{}").stdout == b"15 Jan 2026 09:05:07"
    assert kvasir("template", "--template", tmp_path / "t.jinja", "--now", NOW, input="{}", TZ="Asia/Tokyo").stdout == b"15 Jan 2026 09:05:07"
    assert kvasir("template", "--template", tmp_path / "t.jinja", "--now", "yesterday", input="{}", code=2).stdout == b""


@pytest.mark.parametrize("context", ["", "[1]", "{", '{"a":1} x', "nonsense"])
def test_bad_variables(context):
    done = subprocess.run([BIN, "template", "--template", TEMPLATE], input=context.encode(), capture_output=True)
    assert done.returncode in (1, 2) and done.stdout == b"" and done.stderr.startswith(b"kvasir: ")


def test_syntax_error_names_the_line(tmp_path):
    (tmp_path / "t.jinja").write_text("fine\n{% if %}")
    assert b"2" in kvasir("template", "--template", tmp_path / "t.jinja", input="{}", code=1).stderr


def test_missing_template(tmp_path):
    assert b"absent" in kvasir("template", "--template", tmp_path / "absent", input="{}", code=1).stderr
