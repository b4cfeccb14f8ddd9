"""Models of the cache by name; kvasir list and kvasir rm."""
import fcntl
import json
import os
import pty
import re
import shutil
import subprocess
import termios
import unicodedata
from pathlib import Path

import pytest

from conftest import BIN, environment, kvasir, tiny
from shapes import LIST, RM, check
from test_pull import env, pull, repo, server  # noqa: F401 (fixtures)
from test_usage import complete

GREEDY = ["--raw", "--temp", "0", "-n", "2", "--ignore-eos", "-p", "ab"]


@pytest.fixture
def cache(tmp_path):
    """Flat files, files of two repositories, a split model, and what looks like models and is none."""
    root = tmp_path / "cache"
    llama, gemma = Path(tiny("llama-tied")).read_bytes(), Path(tiny("gemma3")).read_bytes()
    for path, data in {
        "tiny-llama-q8.gguf": llama, "Tiny-Other.gguf": llama, "broken.gguf": gemma[:1000], "notes.gguf.json": b"{}",
        "hf/A/R-GGUF/main/same.gguf": llama, "hf/B/R-GGUF/main/same.gguf": gemma, "hf/B/R-GGUF/v1/same.gguf": llama,
        "hf/B/R-GGUF/v1/old.gguf": llama, "hf/A/R-GGUF/main/headers/header.gguf": llama, "hf/A/R-GGUF/main/half.gguf.part": llama[:5000],
        "hf/A/R-GGUF/main/half.gguf.part.json": b"{}", "url/0123456789abcdef/fromurl.gguf": llama, ".hidden.gguf": llama,
        "hf/C/S/main/F16/parts-00001-of-00003.gguf": b"1", "hf/C/S/main/F16/parts-00002-of-00003.gguf": b"2",
        "hf/C/S/main/F16/parts-00003-of-00003.gguf": b"3", "hf/C/S/main/cut-00001-of-00002.gguf": b"1",
        "readme.txt": b"x", "evil\x1b[31m.gguf": b"no"}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def run(cache, *args, **more):
    return kvasir(*args, KVASIR_CACHE=str(cache), **more)


def listed(cache):
    document = json.loads(run(cache, "list", "--json").stdout)
    check(document, LIST)
    return {m["call"]: m for m in document["models"]}


def chosen(cache, name):
    return json.loads(run(cache, "run", name, *GREEDY, "--json").stdout)["model"]


# ---- names ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name,path", [
    ("tiny-llama-q8", "tiny-llama-q8.gguf"), ("tiny-l", "tiny-llama-q8.gguf"), ("TINY-LLAMA", "tiny-llama-q8.gguf"),
    ("tiny-o", "Tiny-Other.gguf"), ("fromurl", "url/0123456789abcdef/fromurl.gguf"), ("old", "hf/B/R-GGUF/v1/old.gguf"),
    ("A/R-GGUF/same", "hf/A/R-GGUF/main/same.gguf"), ("b/r-gguf/SAME", "hf/B/R-GGUF/main/same.gguf"),
    ("B/R-GGUF@v1/same", "hf/B/R-GGUF/v1/same.gguf"), ("B/R-GGUF/old", "hf/B/R-GGUF/v1/old.gguf"), ("A/R", "hf/A/R-GGUF/main/same.gguf")])
def test_a_name(cache, name, path):
    done = run(cache, "run", name, *GREEDY, "--json")
    assert json.loads(done.stdout)["model"] == str(cache / path)
    assert done.stderr.decode().count(f"kvasir: {name} is {cache / path}") == 1


def test_an_exact_name_wins(cache):
    shutil.copy(cache / "tiny-llama-q8.gguf", cache / "tiny.gguf")
    assert chosen(cache, "tiny") == str(cache / "tiny.gguf") == chosen(cache, "TINY")
    shutil.copy(cache / "tiny-llama-q8.gguf", cache / "Tiny.gguf")
    assert chosen(cache, "tiny") == str(cache / "tiny.gguf") and chosen(cache, "Tiny") == str(cache / "Tiny.gguf")
    text = run(cache, "run", "TINY", *GREEDY, code=2).stderr.decode()
    assert "several models are called TINY" in text and str(cache / "tiny.gguf") in text and str(cache / "Tiny.gguf") in text


def test_a_path_wins(cache, tmp_path, llama):
    """A file of that name here is what is meant; a folder is not."""
    shutil.copy(llama, tmp_path / "tiny-llama-q8")
    def here(*args, code=0):
        return subprocess.run([BIN, *args], env=dict(os.environ, KVASIR_CACHE=str(cache)), cwd=tmp_path, capture_output=True, check=False)
    assert json.loads(here("run", "tiny-llama-q8", *GREEDY, "--json").stdout)["model"] == "tiny-llama-q8"
    (tmp_path / "fromurl").mkdir()
    assert json.loads(here("run", "fromurl", *GREEDY, "--json").stdout)["model"] == str(cache / "url/0123456789abcdef/fromurl.gguf")


@pytest.mark.parametrize("command", [["run", *GREEDY], ["inspect"], ["tokenize", "-p", "x"], ["template"], ["eval", "--ids", "-"], ["plan"],
                                     ["tune"], ["verify", "--quick"], ["sweep", "--depths", "0"], ["serve", "--port", "0"]])
def test_every_command_takes_names(cache, command):
    """A model that is not there is named with what there is; a name that is several is refused."""
    unknown = run(cache, command[0], "nosuch", *command[1:], input="1 2", code=3)
    assert b"kvasir: there is no model nosuch\nThere are: " in unknown.stderr and unknown.stdout == b""
    several = run(cache, command[0], "same", *command[1:], input="1 2", code=2)
    assert b"several models are called same" in several.stderr


def test_commands_find_it(cache):
    for args in (["tokenize", "tiny-l", "-p", "ab"], ["inspect", "tiny-l"], ["plan", "tiny-l", "fromurl"], ["eval", "tiny-l", "--ids", "-"],
                 ["run", "-m", "tiny-l", *GREEDY], ["run", "tiny-l", "--config", "none", *GREEDY]):
        code = 1 if "--config" in args else 0
        done = run(cache, *args, input="1 2 3", code=code)
        # inspect and plan print the path as a result.
        assert (str(cache / "tiny-llama-q8.gguf") in done.stdout.decode()) == (args[0] in ("inspect", "plan"))
        assert done.stderr.count(b"tiny-l is ") == (0 if args[0] in ("inspect", "plan") else 1)


def test_several(cache):
    text = run(cache, "run", "same", *GREEDY, code=2).stderr.decode()
    assert "several models are called same" in text
    assert re.findall(r"^  (\S+)$", text, re.M) == ["A/R-GGUF/same", "B/R-GGUF/same", "B/R-GGUF@v1/same"]
    for name in re.findall(r"^  (\S+)$", text, re.M):
        run(cache, "run", name, *GREEDY)
    text = run(cache, "run", "ti", *GREEDY, code=2).stderr.decode()
    assert "several models begin with ti" in text and re.findall(r"^  (\S+)$", text, re.M) == ["tiny-llama-q8", "Tiny-Other"]


def test_none(cache, tmp_path):
    for typed, meant in (("tinny-lama", "tiny-llama-q8"), ("brokn", "broken"), ("formurl", "fromurl")):
        text = run(cache, "run", typed, *GREEDY, code=3).stderr.decode()
        assert f"there is no model {typed}; did you mean {meant}?" in text
        assert "There are: broken, " in text and "A/R-GGUF/same" in text and "half" not in text and "header" not in text
        assert "kvasir pull hf:OWNER/REPO" in text and "scripts/fetch-models.sh" in text
    for typed in ("xyzzy", "x", "\x1b[31m", "b" * 5000, "header", ".hidden", "notes"):
        done = run(cache, "run", typed, *GREEDY, code=(2, 3))
        assert b"did you mean" not in done.stderr and b"\x1b" not in done.stderr
    assert b"is empty" in run(cache, "run", "", *GREEDY, code=2).stderr
    text = run(tmp_path / "nothing", "run", "smollm2", *GREEDY, code=3).stderr.decode()
    assert f"There are no models in {tmp_path / 'nothing'}." in text and "kvasir pull" in text
    for i in range(30):
        shutil.copy(cache / "broken.gguf", cache / f"many-{i:02}.gguf")
    text = run(cache, "run", "xyzzy", *GREEDY, code=3).stderr.decode()
    assert "more (kvasir list)" in text and text.count(", ") == 20
    text = run(cache, "run", "many", *GREEDY, code=2).stderr.decode()
    assert "and 10 more" in text and text.count("  many-") == 20


def test_paths_that_lead_nowhere(cache, tmp_path):
    for path in ("tiny-llama-q8.gguf", "/nowhere/tiny-llama-q8.gguf", "./tiny-llama-q8", "../tiny-llama-q8.GGUF", "models/tiny-llama-q8",
                 f"{cache}/x/tiny-llama-q8.gguf"):
        text = run(cache, "run", path, *GREEDY, code=3).stderr.decode()
        assert text.startswith(f"kvasir: {path}: No such file or directory\n") and "give tiny-llama-q8 instead" in text
    for path in ("tiny-l.gguf", "/nowhere/model.gguf", "./nosuch", "same.gguf"):
        text = run(cache, "run", path, *GREEDY, code=3).stderr.decode()
        assert text == f"kvasir: {path}: No such file or directory\n"
    assert b"kvasir pull hf:Qwen/Qwen3-GGUF" in run(cache, "run", "Qwen/Qwen3-GGUF", *GREEDY, code=3).stderr


def test_unfinished_and_hostile(cache):
    assert b"half is not whole: its fetch was stopped" in run(cache, "run", "half", *GREEDY, code=3).stderr
    assert b"of its 2 parts 1 are there" in run(cache, "run", "cut", *GREEDY, code=3).stderr
    (cache / "loop").symlink_to(cache)
    (cache / "away").symlink_to("/etc")
    (cache / "gone.gguf").symlink_to("/nowhere/gone.gguf")
    os.mkfifo(cache / "pipe.gguf")
    (cache / "folder.gguf").mkdir()
    deep = cache / "/".join("abcdefghijklmnopqrst")
    deep.mkdir(parents=True)
    (deep / "deep.gguf").write_bytes(b"x")
    names = {m["name"] for m in listed(cache).values()}
    assert names == {"tiny-llama-q8", "Tiny-Other", "broken", "same", "old", "fromurl", "parts", "evil\x1b[31m"}


# ---- list -----------------------------------------------------------------------------------------------------------

def test_list(cache):
    models = listed(cache)
    assert list(models) == ["broken", "evil\x1b[31m", "fromurl", "old", "parts", "A/R-GGUF/same", "B/R-GGUF/same", "B/R-GGUF@v1/same",
                            "tiny-llama-q8", "Tiny-Other"]
    m = models["B/R-GGUF/same"]
    assert (m["name"], m["path"], m["architecture"], m["type"], m["problem"]) == \
        ("same", str(cache / "hf/B/R-GGUF/main/same.gguf"), "gemma3", "F32", None)
    assert m["bytes"] == (cache / "hf/B/R-GGUF/main/same.gguf").stat().st_size and m["parameters"] > 100000
    assert len(models["parts"]["files"]) == 3 and models["parts"]["path"].endswith("parts-00001-of-00003.gguf")
    assert models["broken"]["architecture"] is None and "1000" in models["broken"]["problem"]
    document = json.loads(run(cache, "list", "--json").stdout)
    assert [u["name"] for u in document["unfinished"]] == ["cut", "half"]
    done = run(cache, "list")
    lines = done.stdout.decode().splitlines()
    assert lines[0].split() == ["name", "size", "kind", "params", "type", "date", "in", str(cache)]
    assert "\x1b" not in done.stdout.decode() and b"half is not whole" in done.stderr
    row = next(line for line in lines if line.startswith("tiny-llama-q8"))
    assert row.split()[1:6] == ["1.01", "MiB", "llama", "0.3M", "F32"] and row.endswith("tiny-llama-q8.gguf")
    assert re.search(r" 20\d\d-\d\d-\d\d ", row)
    row = next(i for i, line in enumerate(lines) if line.startswith("broken"))
    assert " damaged " in lines[row] and lines[row + 1].startswith("  damaged: ")
    assert run(cache, "list", "--names").stdout.decode().split() == [n for n in models if "\x1b" not in n]


def test_list_without_models(tmp_path):
    for place in (tmp_path, tmp_path / "nothing"):
        done = run(place, "list")
        assert done.stdout == b"" and b"kvasir pull hf:OWNER/REPO" in done.stderr and b"fetch-models.sh" in done.stderr
        assert run(place, "list", "--names").stdout == b"" and listed(place) == {}
    done = kvasir("list", code=2, KVASIR_CACHE="", XDG_CACHE_HOME="", HOME="")
    assert b"HOME" in done.stderr


def test_names_that_a_shell_would_act_on(tmp_path, llama):
    """Completions put names on the command line as they are: what is not one plain word is left out, and counted."""
    good = ["plain-1.5b_q4", "Größe", "a+b,c@d:e"]
    bad = ["a;touch x", "a|b", "a&b", "a<b", "a>b", "~root", "a!b", "{a,b}", "#a", "=ls", "-rf", "a b", "$(ls)", "`ls`", "a'b", 'a"b', "a\\b",
           "*", "a?", "[ab]", "a^b", "(a)", "a%b", "a\tb", "a\nb", "a\u202eb"]
    for name in good + bad:
        (tmp_path / f"{name}.gguf").symlink_to(llama)
    done = run(tmp_path, "list", "--names")
    assert sorted(done.stdout.decode().split()) == sorted(good)
    assert f"{len(bad)} names are left out: a shell would act on them".encode() in done.stderr
    (tmp_path / "one").mkdir()
    (tmp_path / "one/x y.gguf").symlink_to(llama)
    assert b"1 name is left out: a shell would act on it" in run(tmp_path / "one", "list", "--names").stderr


@pytest.mark.parametrize("args", [["list"], ["list", "--names"], ["list", "--json"], ["rm", "x"], ["run", "x", "-p", "y"], ["plan", "x"]])
def test_a_cache_that_is_a_file(tmp_path, args):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file/below"):
        done = run(place, *args, code=1)
        assert done.stdout == b"" and b"KVASIR_CACHE" in done.stderr and b"it is no folder" in done.stderr, done.stderr


def at_width(cache, columns):
    """The list as a terminal of that width shows it."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    done = subprocess.Popen([BIN, "list"], stdin=slave, stdout=slave, stderr=subprocess.DEVNULL, env=environment(KVASIR_CACHE=str(cache)))
    os.close(slave)
    text = b""
    while True:
        try:
            more = os.read(master, 65536)
        except OSError:
            break
        text += more
        if not more:
            break
    os.close(master)
    assert done.wait() == 0
    return text.decode().replace("\r\n", "\n").splitlines()


def test_long_names_at_a_terminal(tmp_path, llama):
    long = "a-model-with-a-name-of-so-many-words-that-no-terminal-has-room-for-it-in-a-row"
    for name in (long, "short"):
        (tmp_path / f"{name}.gguf").symlink_to(llama)
    lines = at_width(tmp_path, 80)
    assert [len(line) for line in lines if line not in (long, f"    {long}.gguf") and "    in " not in line and len(line) > 80] == []
    at = lines.index(long)
    assert lines[at + 1].startswith(" ") and " llama " in lines[at + 1] and lines[at + 2] == f"    {long}.gguf"
    row, = [line for line in lines if line.startswith("short ")]
    assert row.split()[3] == "llama" and len(row) <= 80
    # With room for all, and where it is no terminal, a model is a row.
    wide = at_width(tmp_path, 400)
    assert wide == run(tmp_path, "list").stdout.decode().splitlines() and len(wide) == 3
    assert all(wide[0].index(" in ") + 1 == line.index(f"{name}.gguf") for line, name in zip(wide[1:], (long, "short"), strict=True))


def test_columns_of_names_in_other_scripts(tmp_path, llama):
    for name in ("Größe", "日本語", "plain"):
        (tmp_path / f"{name}.gguf").symlink_to(llama)
    rows = run(tmp_path, "list").stdout.decode().splitlines()[1:]
    width = lambda s: sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in s)
    assert len({width(r[:r.index(" llama ")]) for r in rows}) == 1


def test_where_the_cache_is(tmp_path, llama):
    (tmp_path / "kvasir/models").mkdir(parents=True)
    (tmp_path / ".cache/kvasir/models").mkdir(parents=True)
    shutil.copy(llama, tmp_path / "kvasir/models/one.gguf")
    shutil.copy(llama, tmp_path / ".cache/kvasir/models/two.gguf")
    assert kvasir("list", "--names", KVASIR_CACHE="", XDG_CACHE_HOME=str(tmp_path)).stdout == b"one\n"
    assert kvasir("list", "--names", KVASIR_CACHE="", XDG_CACHE_HOME="", HOME=str(tmp_path)).stdout == b"two\n"
    assert kvasir("list", "--names", KVASIR_CACHE=str(tmp_path / "kvasir/models/")).stdout == b"one\n"


def test_a_split_model(tmp_path, server, env, repo):  # noqa: F811
    pull(env, "hf:who/what:F16")
    models = {m["name"]: m for m in json.loads(run(env["KVASIR_CACHE"], "list", "--json").stdout)["models"]}
    m = models["m-F16"]
    assert m["fetched"] and m["url"].endswith("/big/m-F16-00001-of-00002.gguf") and m["bytes"] == 900 and len(m["files"]) == 2


# ---- rm -------------------------------------------------------------------------------------------------------------

def files(cache):
    return {str(p.relative_to(cache)) for p in Path(cache).rglob("*") if not p.is_dir()}


def test_rm(cache):
    before = files(cache)
    size = (cache / "tiny-llama-q8.gguf").stat().st_blocks * 512
    (cache / "tiny-llama-q8.gguf.json").write_text("{}")
    assert b"--yes" in run(cache, "rm", "tiny-l", code=2).stderr
    assert b"--yes" in run(cache, "rm", "tiny-l", input="y\n", code=2).stderr
    assert files(cache) == before | {"tiny-llama-q8.gguf.json"}
    assert b"--yes takes whole names" in run(cache, "rm", "tiny-l", "--yes", code=2).stderr
    done = run(cache, "rm", "TINY-llama-q8", "--yes")
    assert re.fullmatch(rb"tiny-llama-q8 removed, 1\.0\d MiB freed\n", done.stdout) and size > 1 << 20
    assert files(cache) == before - {"tiny-llama-q8.gguf"}
    document = json.loads(run(cache, "rm", "-y", "parts", "B/R-GGUF@v1/same", "parts", "--json").stdout)
    check(document, RM)
    assert [r["name"] for r in document["removed"]] == ["parts", "same"] and len(document["removed"][0]["files"]) == 3
    assert document["bytes"] == sum(r["bytes"] for r in document["removed"]) > 1 << 20
    assert not (cache / "hf/C/S/main/F16").exists() and (cache / "hf/C/S/main").exists(), "another model is there"
    assert (cache / "hf/B/R-GGUF/v1/old.gguf").exists()
    run(cache, "rm", "-y", "cut", "half", "evil\x1b[31m")  # also what is not whole
    assert not (cache / "hf/C").exists() and cache.exists()
    assert files(cache) == {"Tiny-Other.gguf", "broken.gguf", "notes.gguf.json", "hf/A/R-GGUF/main/same.gguf", "hf/B/R-GGUF/main/same.gguf",
                            "hf/B/R-GGUF/v1/old.gguf", "hf/A/R-GGUF/main/headers/header.gguf", "url/0123456789abcdef/fromurl.gguf",
                            ".hidden.gguf", "readme.txt"}
    run(cache, "rm", "-y", "A/R-GGUF/same")
    assert (cache / "hf/A/R-GGUF/main/headers/header.gguf").exists(), "of another file"


def test_a_whole_name_before_a_beginning(cache, llama):
    """An unfinished model that is called so is meant, not a whole one that only begins so."""
    (cache / "tiny.gguf.part").write_bytes(b"abc")
    assert b"tiny is not whole" in run(cache, "run", "tiny", "-p", "x", code=3).stderr
    assert run(cache, "rm", "-y", "tiny").stdout.startswith(b"tiny removed")
    assert (cache / "tiny-llama-q8.gguf").exists() and not (cache / "tiny.gguf.part").exists()


def test_rm_takes_what_list_calls_it(cache):
    """Two files of one name are told apart by their paths, which rm takes then."""
    (cache / "d").mkdir()
    shutil.copy(cache / "Tiny-Other.gguf", cache / "d/Tiny-Other.gguf")
    path = str(cache / "d/Tiny-Other.gguf")
    assert path in run(cache, "rm", "-y", "Tiny-Other", code=2).stderr.decode()
    run(cache, "rm", "-y", path)
    assert not (cache / "d").exists() and (cache / "Tiny-Other.gguf").exists()


def test_rm_stays_in_the_cache_and_keeps_what_it_cannot_remove(cache, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "broken.gguf").write_text("precious")
    (cache / "headers").symlink_to(outside)
    run(cache, "rm", "-y", "broken")
    assert (outside / "broken.gguf").exists() and not (cache / "broken.gguf").exists()
    (cache / "Tiny-Other.gguf.json").mkdir()
    run(cache, "rm", "-y", "Tiny-Other", code=1)
    assert (cache / "Tiny-Other.gguf").exists() and not (cache / "Tiny-Other.gguf.lock").exists()
    (cache / "tiny-llama-q8.gguf.json").unlink(missing_ok=True)
    os.mkfifo(cache / "tiny-llama-q8.gguf.json")
    assert "tiny-llama-q8" in run(cache, "list", timeout=60).stdout.decode()


def test_names_that_act_on_terminals(cache, llama):
    for name in ("c1\u009b31m", "rlo\u202ex"):
        shutil.copy(llama, cache / f"{name}.gguf")
    for args, code in ((["list"], 0), (["rm", "-y", "nope"], 3)):
        done = run(cache, *args, code=code)
        assert "\u009b" not in (done.stdout + done.stderr).decode() and "\u202e" not in (done.stdout + done.stderr).decode()


def test_rm_takes_all_that_fetching_left(server, env, repo):  # noqa: F811
    """Records, choices and headers, but not those of other files."""
    cache = Path(env["KVASIR_CACHE"])
    for what in ("q8_0", "F16", ""):
        pull(env, "hf:who/what" + (":" + what if what else ""))
    folder = cache / "hf/who/what/main"
    (folder / "headers").mkdir()
    (folder / "headers/m-Q8_0.gguf").write_bytes(b"GGUF")
    choices = folder / ".chosen.json"
    assert set(json.loads(choices.read_text())) == {"q8_0", "f16", ""}
    run(cache, "rm", "-y", "m-q8_0")
    assert set(json.loads(choices.read_text())) == {"f16", ""}
    assert files(cache) == {f"hf/who/what/main/{name}" for name in (
        ".chosen.json", "m-Q4_K_M.gguf", "m-Q4_K_M.gguf.json", "big/m-F16-00001-of-00002.gguf", "big/m-F16-00001-of-00002.gguf.json",
        "big/m-F16-00002-of-00002.gguf", "big/m-F16-00002-of-00002.gguf.json")}
    run(cache, "rm", "-y", "m-f16")
    assert set(json.loads(choices.read_text())) == {""} and not (folder / "big").exists()
    run(cache, "rm", "-y", "m-q4_k_m")
    assert cache.exists() and list(cache.iterdir()) == []
    assert pull(env, "hf:who/what:q8_0").read_bytes() == repo["m-Q8_0.gguf"], "it can be had again"


def test_rm_does_not_believe_what_it_reads(cache):
    """Choices that someone else wrote: neither a folder outside nor another file is touched."""
    choices = cache / "hf/A/R-GGUF/main/.chosen.json"
    for text in ('{"x": ["../../../../tiny-llama-q8.gguf"], "y": 5, "z": ["same.gguf", 7]}', "no json", "[]", "{}"):
        shutil.copy(cache / "tiny-llama-q8.gguf", cache / "hf/A/R-GGUF/main/same.gguf")
        choices.write_text(text)
        run(cache, "rm", "-y", "A/R-GGUF/same")
        assert (cache / "tiny-llama-q8.gguf").exists()
        if "z" in text:
            assert set(json.loads(choices.read_text())) == {"x", "y"}


def test_rm_refuses_paths(cache, tmp_path, llama):
    outside = tmp_path / "outside.gguf"
    shutil.copy(llama, outside)
    before = files(cache)
    for name in (outside, cache / "tiny-llama-q8.gguf", "tiny-llama-q8.gguf", "./tiny-llama-q8", "../cache/tiny-llama-q8", ".", "..", "/",
                 "hf:A/R-GGUF", "https://example.org/tiny-llama-q8.gguf"):
        text = run(cache, "rm", "-y", name, code=2).stderr.decode()
        assert f"{name} is no name: kvasir rm takes names" in text
    assert "there it has tiny-llama-q8" in run(cache, "rm", "-y", "x/../tiny-llama-q8.gguf", code=2).stderr.decode()
    for name, code in (("nosuch", 3), ("same", 2), ("", 3), ("A/../B", 3)):
        run(cache, "rm", "-y", "tiny-llama-q8", name, code=code if name else 2)
    assert b"NAME is missing" in run(cache, "rm", "-y", code=2).stderr
    assert outside.exists() and files(cache) == before, "all or nothing"


def test_rm_and_links(cache, tmp_path, llama):
    outside = tmp_path / "away"
    outside.mkdir()
    shutil.copy(llama, outside / "linked.gguf")
    shutil.copy(llama, outside / "inside.gguf")
    (cache / "linked.gguf").symlink_to(outside / "linked.gguf")
    (cache / "folder").symlink_to(outside)
    assert chosen(cache, "linked") == str(cache / "linked.gguf")
    assert run(cache, "rm", "-y", "linked").stdout == b"linked removed, 0 B freed\n"
    assert not (cache / "linked.gguf").is_symlink() and (outside / "linked.gguf").exists()
    run(cache, "rm", "-y", "inside", code=3)
    # A lock that is a link is not written through.
    (cache / "broken.gguf.lock").symlink_to(tmp_path / "made")
    run(cache, "rm", "-y", "broken", code=1)
    assert not (tmp_path / "made").exists() and (cache / "broken.gguf").exists()


def test_rm_leaves_what_is_being_fetched(cache):
    lock = cache / "hf/C/S/main/F16/parts-00002-of-00003.gguf.lock"
    before = files(cache)
    with open(lock, "w", encoding="utf-8") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        text = run(cache, "rm", "-y", "parts", code=1).stderr
        assert b"is being fetched" in text and files(cache) == before | {str(lock.relative_to(cache))}
    run(cache, "rm", "-y", "parts")
    assert "hf/C/S/main/F16/parts-00001-of-00003.gguf" not in files(cache)


@pytest.mark.parametrize("answer,gone", [("y", True), ("Y", True), ("yes", True), ("n", False), ("", False), ("yesterday", False)])
def test_rm_asks(cache, answer, gone):
    master, slave = pty.openpty()
    process = subprocess.Popen([BIN, "rm", "tiny-l"], env=dict(os.environ, KVASIR_CACHE=str(cache)), stdin=slave, stdout=subprocess.PIPE,
                               stderr=slave)
    text = b""
    while b"[y/N]" not in text:
        text += os.read(master, 1000)
    assert b"tiny-llama-q8" in text and b"1.01 MiB" in text
    os.write(master, answer.encode() + b"\n")
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, b"removed" in out) == ((0, True) if gone else (1, False))
    assert (cache / "tiny-llama-q8.gguf").exists() != gone
    os.close(slave)
    os.close(master)


def test_completion_offers_names(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("KVASIR_CACHE", str(cache))
    assert complete([BIN, "run", "tiny"], tmp_path) == ["tiny-llama-q8"]
    assert complete([BIN, "inspect", "A/"], tmp_path) == ["A/R-GGUF/same"]
    assert complete([BIN, "run", "-m", "fr"], tmp_path) == ["fromurl"]
    assert complete([BIN, "rm", "bro"], tmp_path) == ["broken"]
    (tmp_path / "brown.gguf").touch()
    assert complete([BIN, "rm", "bro"], tmp_path) == ["broken"] and complete([BIN, "run", "bro"], tmp_path) == ["brown.gguf", "broken"]
