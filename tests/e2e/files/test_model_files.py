"""Model files that are missing, cut, strange, or cannot be read: exit status 3 and a sentence that says what."""
import os
import struct
import subprocess

import pytest

from conftest import BIN, kvasir, kvasir_json

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
