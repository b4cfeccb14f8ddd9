"""Help, wrong usage, exit statuses, completions and man pages: what does not depend on a model."""
import os
import re
import shutil
import subprocess

import pytest

from conftest import BIN, COMMANDS, SOURCE, kvasir


def test_help_lists_the_commands():
    text = kvasir("help").stdout.decode()
    listed = re.findall(r"^  (\w+) ", text, re.M)
    assert listed == COMMANDS + ["help", "version"]
    assert kvasir("--help").stdout == kvasir("-h").stdout == kvasir("help").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command):
    text = kvasir(command, "--help").stdout.decode()
    assert f"Usage: kvasir {command}" in text and f"kvasir {command}" in text.split("Examples:")[1]
    assert kvasir("help", command).stdout.decode() == text == kvasir(command, "-h").stdout.decode()


def test_version():
    done = kvasir("--version")
    assert re.fullmatch(rb"kvasir \d+\.\d+\.\d+\n", done.stdout) and kvasir("version").stdout == done.stdout


def test_no_command_shows_the_help_on_stderr():
    done = kvasir(code=2)
    assert done.stdout == b"" and b"Usage: kvasir COMMAND" in done.stderr


@pytest.mark.parametrize("args", [
    ["nonsense"], ["help", "nonsense"], ["run"], ["run", "a.gguf", "b.gguf"], ["run", "a.gguf", "--nonsense"],
    ["run", "a.gguf", "-n"], ["run", "a.gguf", "-n", "many"], ["run", "a.gguf", "-n", "-2"], ["run", "a.gguf", "-p", "x", "-n", "0"],
    ["run", "a.gguf", "--ctx", "-5"], ["run", "a.gguf", "--ctx", "3X"], ["run", "a.gguf", "--kv-memory", "lots"],
    ["run", "a.gguf", "--top-p", "1.5"], ["run", "a.gguf", "--temp", "nan"], ["run", "a.gguf", "--seed", "1.5"],
    ["run", "a.gguf", "--chat", "--raw"], ["run", "a.gguf", "--chat", "--json"], ["run", "a.gguf", "--raw", "--system", "x", "-p", "x"],
    ["run", "a.gguf", "--system", "x", "--system-file", "y", "-p", "x"],
    ["inspect", "a.gguf", "--dump-tensor", "x"], ["inspect", "a.gguf", "--out", "x"],
    ["tokenize", "a.gguf", "-p", "x", "-f", "y"], ["tokenize", "a.gguf", "--jsonl", "--json"],
    ["template"], ["eval", "a.gguf"], ["eval", "a.gguf", "--ppl", "x", "--kld", "y"], ["eval", "a.gguf", "--ppl", "x", "--at", "0"],
    ["eval", "a.gguf", "--ppl", "x", "--ref-kv", "q8"], ["bench", "a.gguf"], ["bench", "--seconds", "0"],
    ["sweep"], ["sweep", "--compare", "a.json"], ["sweep", "a.gguf", "--depths", "0,much"], ["sweep", "a.gguf", "--depths", "0,,1"],
    ["sweep", "a.gguf", "--depths", "-1"], ["sweep", "a.gguf", "--tg", "0"], ["sweep", "a.gguf", "--repeat", "101"],
    ["--dump-docs", "html"], ["--dump-docs", "man", "nonsense"],
])
def test_wrong_usage(args):
    done = kvasir(*args, code=2)
    assert done.stdout == b"" and done.stderr.startswith(b"kvasir"), done.stderr


def test_help_explains_whatever_it_lists():
    listed = re.findall(r"^  ([a-z]+) ", kvasir("help").stdout.decode(), re.M)
    assert sorted(listed) == sorted([*COMMANDS, "help", "version"])
    whole = kvasir("--help").stdout
    for name in listed:
        assert (kvasir("help", name).stdout == whole) == (name in ("help", "version"))
    for name in ("--help", "-h", "--version", "-V"):
        assert kvasir("help", name).stdout == whole
    assert kvasir("-V").stdout == kvasir("version").stdout == kvasir("--version").stdout
    assert b"man, bash, zsh and fish" in kvasir("--dump-docs", code=2).stderr


def test_every_command_has_a_man_page_and_completion():
    """The meson.build names the commands once more: the list must be the same."""
    text = (SOURCE / "src/cli/meson.build").read_text()
    named = re.search(r"foreach command : \[([^]]*)\]", text).group(1)
    assert re.findall(r"'(\w+)'", named) == COMMANDS


@pytest.mark.parametrize("page", [None, *COMMANDS])
def test_man_page_renders(page, tmp_path):
    path = tmp_path / "kvasir.1"
    path.write_bytes(kvasir("--dump-docs", "man", *([page] if page else [])).stdout)
    groff = shutil.which("groff")
    if not groff:
        pytest.skip("groff is not there")
    done = subprocess.run([groff, "-man", "-Tutf8", "-ww", "-z", str(path)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    shown = subprocess.run([groff, "-man", "-Tascii", "-P-cbou", str(path)], capture_output=True, text=True).stdout
    assert "EXIT STATUS" in shown and (page is None or "--json" in shown)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_everything(shell):
    text = kvasir("--dump-docs", shell).stdout.decode()
    for word in COMMANDS + ["top-k", "kv-memory", "dump-tensor", "jsonl", "ref-kv", "seconds", "depths"]:
        assert word in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


def complete(words, tmp_path):
    """What bash offers after these words."""
    script = tmp_path / "completion"
    script.write_bytes(kvasir("--dump-docs", "bash").stdout)
    line = f'source {script}; COMP_WORDS=({" ".join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; _kvasir; ' \
           'printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path)
    return done.stdout.split()


def test_bash_completion_works(tmp_path):
    assert complete(["kvasir", "to"], tmp_path) == ["tokenize"]
    assert complete(["kvasir", "run", "--top-"], tmp_path) == ["--top-k", "--top-p"]
    assert complete(["kvasir", "run", "--kv", "f3"], tmp_path) == ["f32"]
    assert complete(["kvasir", "eval", "--cpu", "avx5"], tmp_path) == ["avx512vnni", "avx512bf16"]
    (tmp_path / "small.gguf").touch()
    (tmp_path / "notes.txt").touch()
    assert complete(["kvasir", "inspect", ""], tmp_path) == ["small.gguf"]
    assert complete(["kvasir", "run", "-f", "no"], tmp_path) == ["notes.txt"]
    assert complete(["kvasir", "probe", "--show", "no"], tmp_path) == ["notes.txt"]


def test_full_disk():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BIN, "help"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"output failed" in done.stderr
