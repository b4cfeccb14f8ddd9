"""Model files that are missing, cut, strange, or cannot be read: exit status 3 and a sentence that says what."""
import os
import struct
import subprocess

import pytest

import gguf
from conftest import BIN, kvasir, kvasir_json, tiny

NEEDS_MODEL = {
    "run": ["-p", "x"],
    "inspect": [],
    "tokenize": ["-p", "x"],
    "eval": ["--ids", "ids.txt"],
    "template": ["-f", "vars.json"],
    "sweep": ["--depths", "0"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.txt").write_text("1 2 3")
    (tmp_path / "vars.json").write_text('{"messages": []}')
    return tmp_path


@pytest.mark.parametrize("command", NEEDS_MODEL)
def test_missing_file(command, folder):
    done = kvasir(command, "absent.gguf", *NEEDS_MODEL[command], code=3)
    assert done.stdout == b"" and done.stderr.startswith(b"kvasir: ") and b"absent.gguf" in done.stderr


@pytest.mark.parametrize("command", NEEDS_MODEL)
def test_not_gguf(command, folder):
    (folder / "text.gguf").write_text("This is no model.\n" * 100)
    done = kvasir(command, "text.gguf", *NEEDS_MODEL[command], code=3)
    assert done.stdout == b"" and len(done.stderr.splitlines()) == 1


KINDS = {
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n",
    "a page of HTML": b"\xef\xbb\xbf \n<!doctype HTML>\n<title>x</title>", "address of the download": b"<HTML lang=en>",
    "a JSON text": b'{"error": "Entry not found"}', "a safetensors file": struct.pack("<Q", 99) + b'{"__metadata__":{}}',
    "a ZIP archive": b"PK\3\4" + bytes(40), "compressed by gzip": b"\x1f\x8b\x08" + bytes(20), "it has 0 bytes": b"",
    "before GGUF (GGJT)": b"tjgg\3\0\0\0" + bytes(40), 'it starts with "?PNG': b"?PNG" + bytes(40),
    'it starts with "PK"': b"PK\1\2" * 20, "an XML document": b"<?xml version='1.0'?>"}


@pytest.mark.parametrize("what", KINDS)
def test_other_kinds_of_files(what, folder):
    """Named for what they are; each with one line, whatever the bytes."""
    (folder / "x.gguf").write_bytes(KINDS[what])
    for command in ("run", "inspect", "plan"):
        done = kvasir(command, "x.gguf", *NEEDS_MODEL.get(command, []), code=3)
        text = done.stderr.decode().replace("PK\\x01\\x02", "PK")
        assert done.stdout == b"" and what in text and "not a GGUF file" in text and text.count("\n") == 1


@pytest.mark.parametrize("keys, words", [
    ({"general.type": "adapter", "adapter.type": "lora"}, "an adapter (LoRA)"), ({"general.type": "mmproj"}, "(mmproj)"),
    ({"general.architecture": "clip"}, "(mmproj)"), ({"general.type": "imatrix"}, "an importance matrix"),
    ({"general.architecture": "controlvector"}, "a control vector")])
def test_gguf_that_is_no_model(keys, words, folder):
    path = gguf.with_keys(tiny("llama-tied"), folder / "x.gguf", keys)
    for command in ("run", "tokenize", "eval"):
        done = kvasir(command, path, *NEEDS_MODEL[command], code=3)
        assert words.encode() in done.stderr and b"x.gguf" in done.stderr and done.stdout == b""
    document = kvasir_json("inspect", path)
    assert len(document["problems"]) == 1 and words in document["problems"][0]
    assert words.encode() in kvasir("plan", path, code=3).stderr


def test_later_part_of_a_split_model(folder):
    """The first is named, which opens all."""
    path = gguf.with_keys(tiny("llama-tied"), folder / "m-00002-of-00003.gguf",
                          {"split.no": 1, "split.count": 3, "split.tensors.count": 30})
    done = kvasir("run", path, "-p", "x", code=3)
    assert b"part 2 of 3" in done.stderr and b"open the first, " in done.stderr and b"m-00001-of-00003.gguf" in done.stderr


@pytest.mark.parametrize("command", NEEDS_MODEL)
def test_cut_header(command, folder, llama):
    with open(llama, "rb") as f:
        (folder / "cut.gguf").write_bytes(f.read(1000))
    done = kvasir(command, "cut.gguf", *NEEDS_MODEL[command], code=3)
    assert b"cut.gguf" in done.stderr


def test_folder_and_pipe(folder):
    kvasir("inspect", folder, code=3)
    os.mkfifo(folder / "pipe.gguf")
    kvasir("inspect", folder / "pipe.gguf", code=3, timeout=20)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(folder, llama):
    path = folder / "locked.gguf"
    path.write_bytes(b"GGUF")
    path.chmod(0)
    assert b"ermission" in kvasir("inspect", path, code=3).stderr


def test_cut_data(folder, llama):
    """Half of the weights: cannot run, but the header can still be inspected on request."""
    with open(llama, "rb") as f:
        whole = f.read()
    (folder / "half.gguf").write_bytes(whole[:len(whole) // 2])
    assert b"half.gguf" in kvasir("run", "half.gguf", "-p", "x", code=3).stderr
    document = kvasir_json("inspect", "half.gguf", "--header-only")
    assert document["architecture"] == "llama"


def rename_architecture(source, target):
    """The same file with general.architecture = "llamb"."""
    with open(source, "rb") as f:
        data = bytearray(f.read())
    key = b"general.architecture"
    at = data.index(struct.pack("<Q", len(key)) + key) + 8 + len(key)
    kind, length = struct.unpack_from("<IQ", data, at)
    assert kind == 8
    data[at + 12 + length - 1] = ord("b")
    target.write_bytes(data)


def test_unknown_architecture(folder, llama):
    rename_architecture(llama, folder / "odd.gguf")
    assert b"llamb" in kvasir("run", "odd.gguf", "-p", "x", code=3).stderr
    document = kvasir_json("inspect", "odd.gguf")
    assert document["architecture"] == "llamb" and any("llamb" in p for p in document["problems"])
    shown = kvasir("inspect", "odd.gguf").stdout.decode()
    assert "Problems" in shown and document["problems"][0] in shown


def test_tokenizer_of_an_unknown_architecture(folder, llama):
    """The vocabulary is enough for tokenize."""
    rename_architecture(llama, folder / "odd.gguf")
    assert kvasir("tokenize", "odd.gguf", "-p", "hello").stdout == kvasir("tokenize", llama, "-p", "hello").stdout


def test_broken_pipe(llama):
    """A reader that goes away ends the command at once and without noise."""
    for command in (["inspect", llama, "-v"], ["run", llama, "--raw", "-p", "x", "--ignore-eos", "-n", "3000"]):
        reader = subprocess.Popen([BIN, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        reader.stdout.read(5)
        reader.stdout.close()
        err = reader.stderr.read()
        code = reader.wait(timeout=60)
        assert code != 0 or command[0] == "inspect", "the long answer was not interrupted"
        assert b"rror" not in err and code in (-13, 0, 1), (code, err)


def test_broken_pipe_without_the_signal(llama):
    """Where SIGPIPE is ignored the lost output is an error of the command."""
    import signal
    reader = subprocess.Popen([BIN, "run", llama, "--raw", "-p", "x", "--ignore-eos", "-n", "3000"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, restore_signals=False,
                              preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN))
    reader.stdout.read(1)
    reader.stdout.close()
    reader.stderr.read()
    assert reader.wait(timeout=60) == 1
