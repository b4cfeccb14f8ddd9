"""What README and docs show is true: every command is run in a fresh HOME, as a reader would, and what it prints is compared
with the page. A page's example is an indented block that begins with "$ command"; lines that end with a backslash or a pipe,
or that begin with ">", go on. "..." stands for lines left out. Numbers that a measurement gives are compared as numbers, not
by value. Comments in the page, invisible to its readers, say more:

    <!-- first: COMMANDS -->       run before the next example
    <!-- not run: REASON -->       the next example is shown only
    <!-- measured -->              all numbers of the next example differ from run to run
"""
import os
import re
import shutil
import subprocess

import pytest
from conftest import BIN, MODELS, SHORT, SOURCE

PAGES = [SOURCE / "README.md", SOURCE / "CONTRIBUTING.md", *sorted((SOURCE / "docs").glob("*.md"))]
MEASURED = {"sweep", "tune", "verify", "probe", "bench"}  # commands whose every number is measured
NUMBER = re.compile(r"\d[\d,]*(\.\d+)?")
# In any output: quantities that differ from run to run and from machine to machine.
TIMED = re.compile(r"\d[\d,]*(\.\d+)?(?= ?(t/s|ms|s\b|us|min|GB/s|GiB\.|of \d+(\.\d+)? GiB))|(?<=of )\d+(\.\d+)? GiB")


class Example:
    def __init__(self, page, line):
        self.page, self.line = page, line
        self.command, self.expected = [], []
        self.first, self.reason, self.measured = [], None, False

    def __str__(self):
        return f"{self.page.name}:{self.line}"


def examples():
    found = []
    for page in PAGES:
        notes, example = [], None
        for number, line in enumerate(page.read_text().splitlines(), 1):
            comment = re.fullmatch(r"<!-- (.*) -->", line)
            text = line[4:] if line.startswith("    ") else None
            if comment:
                notes.append(comment.group(1))
            elif text is not None and text.startswith("$ "):
                # Commands of one block belong together.
                reason = example.reason if example and example.expected else None
                example = Example(page, number)
                example.reason = reason
                example.command.append(text[2:])
                for note in notes:
                    if note.startswith("first: "):
                        example.first.append(note[len("first: "):])
                    elif note.startswith("not run: "):
                        example.reason = note[len("not run: "):]
                    elif note == "measured":
                        example.measured = True
                notes = []
                found.append(example)
            elif example and text is not None:
                if not example.expected and (example.command[-1].endswith(("\\", "|")) or text.startswith("> ")):
                    example.command.append(text.removeprefix("> "))
                else:
                    example.expected.append(text.rstrip())
            elif example and line == "":
                example.expected.append("")
            else:
                example = None
    for example in found:
        while example.expected and example.expected[-1] == "":
            example.expected.pop()
    return found


def normal(line, measured):
    line = (NUMBER if measured else TIMED).sub("N", line.rstrip())
    return re.sub(r"[\u2581-\u2588]+", "S", re.sub(r"\s+", " ", line)) if measured else line


def matches(expected, got):
    """Lines against lines, where "..." stands for any number of them."""
    if not expected:
        return not got
    if expected[0] == "...":
        return any(matches(expected[1:], got[i:]) for i in range(len(got) + 1))
    return bool(got) and expected[0] == got[0] and matches(expected[1:], got[1:])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A fresh user with the small model in the cache, the command in the PATH, and the clone's examples here."""
    root = tmp_path_factory.mktemp("home")
    cache = root / ".cache/kvasir/models"
    cache.mkdir(parents=True)
    for model in MODELS.glob("smollm2*.gguf"):  # what scripts/quickstart.sh leaves there
        (cache / model.name).symlink_to(model)
    (root / "bin").mkdir()
    (root / "bin/kvasir").symlink_to(BIN)
    here = root / "clone"
    here.mkdir()
    (here / "examples").symlink_to(SOURCE / "examples")
    for model in MODELS.glob("*.gguf"):  # many pages name the file
        (here / model.name).symlink_to(model)
    return root


def run(home, command):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("KVASIR_", "XDG_"))}
    env |= {"HOME": str(home), "PATH": f"{home}/bin:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["bash", "-c", command], cwd=home / "clone", env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    return done.stdout.decode().replace(str(home), "/home/ada")


@pytest.mark.skipif(SHORT, reason="real models under sanitizers")
@pytest.mark.parametrize("example", examples(), ids=str)
def test_example(example, home):
    if example.reason:
        pytest.skip(f"shown only: {example.reason}")
    command = "\n".join(example.command)
    named = re.findall(r"\b(smollm2|gemma3|qwen2\.5-coder)", command)
    for name in named:
        if not list(MODELS.glob(f"{name}*.gguf")):
            pytest.skip(f"{name} is not there (scripts/fetch-models.sh)")
    for first in example.first:
        subprocess.run(["bash", "-ec", first], cwd=home / "clone", check=True)
    program = re.search(r"\bkvasir (\w+)", command)
    measured = example.measured or bool(program and program.group(1) in MEASURED)
    got = run(home, command).splitlines()
    while got and not got[-1].strip():
        got.pop()
    wanted = [line if line == "..." else normal(line, measured) for line in example.expected]
    shown = "\n".join(got)
    assert matches(wanted, [normal(line, measured) for line in got]), f"{example} says otherwise than\n$ {command}\n{shown}"


def test_there_are_examples():
    assert len([e for e in examples() if not e.reason]) >= 20


@pytest.mark.parametrize("page", [*PAGES, SOURCE / "bench/notes/README.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    """Relative links name files that are there, and anchors headings that are there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
            slugs = [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings]
            assert anchor in slugs, f"{page.name}: {target} (there are {slugs})"


def test_every_page_can_be_reached():
    """docs/README.md links every page, and README links docs/README.md and every page too."""
    index, readme = (SOURCE / "docs/README.md").read_text(), (SOURCE / "README.md").read_text()
    assert "docs/README.md" in readme
    for page in (SOURCE / "docs").glob("*.md"):
        if page.name != "README.md":
            assert f"]({page.name})" in index, f"docs/README.md lacks {page.name}"
            assert f"](docs/{page.name})" in readme, f"README.md lacks {page.name}"


def test_every_command_has_a_page():
    listed = subprocess.run([BIN, "help"], capture_output=True, text=True).stdout
    commands = re.findall(r"^  ([a-z]+)  ", listed, re.M)
    assert len(commands) > 10
    for command in commands:
        assert command in ("help", "version") or (SOURCE / f"docs/{command}.md").exists(), command


def test_parsing_of_examples_can_fail():
    """The comparison itself: it must tell lines apart."""
    assert matches(["a", "...", "c"], ["a", "b", "b", "c"]) and not matches(["a", "...", "c"], ["a", "b"])
    assert not matches(["a"], ["a", "b"]) and not matches(["a", "b"], ["a"])
    assert normal("12.5 t/s at 7", False) == "N t/s at 7" and normal("a  3,000 b", True) == "a N b"
    assert shutil.which("bash")
