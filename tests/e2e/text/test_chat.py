"""The chat, typed into a real pseudo-terminal."""
import json
import os
import pty
import re
import select
import subprocess
import termios
import time
from pathlib import Path

import pytest

from conftest import BIN, SHORT, TEMPLATE, environment, kvasir, tiny

CTRL_C, CTRL_D, CTRL_U = "\x03", "\x04", "\x15"


class Terminal:
    """A command on a terminal of its own; stdout goes to a file, so that answers and dialogue can be told apart."""

    def __init__(self, *args, out=None, **env):
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (40, 200))
        self.out = open(out, "wb") if out else None
        self.seen, self.read_to = "", 0
        self.process = subprocess.Popen([BIN, *map(str, args)], stdin=slave, stdout=self.out or slave, stderr=slave,
                                        env=environment(**{"TERM": "xterm", **env}), preexec_fn=self.own_terminal)
        os.close(slave)

    @staticmethod
    def own_terminal():
        os.setsid()
        import fcntl
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read(self, timeout):
        ready, _, _ = select.select([self.master], [], [], timeout)
        if not ready:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:  # the other side is closed
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def expect(self, text, timeout=30):
        """Waits for a text after what was expected before, and returns what lies between."""
        end = time.monotonic() + timeout
        while text not in self.seen[self.read_to:]:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} did not come; after {self.seen[:self.read_to][-200:]!r}:\n{self.seen[self.read_to:]}"
            if not self.read(min(left, 0.5)) and self.process.poll() is not None:
                assert text in self.seen[self.read_to:], f"ended without {text!r}:\n{self.seen}"
        at = self.seen.index(text, self.read_to)
        between = self.seen[self.read_to:at]
        self.read_to = at + len(text)
        return between

    def prompt(self):
        """Waits for the prompt. The terminal must take single keys by then, or a Ctrl-D typed at once would be lost."""
        self.expect("> ")
        assert not termios.tcgetattr(self.master)[3] & termios.ICANON, "the prompt is shown in line mode"

    def type(self, text):
        os.write(self.master, text.encode())

    def line(self, text):
        self.type(text + "\n")

    def end(self, timeout=30):
        end = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.1)
        if self.process.poll() is None:
            where = [(task.name, (task / "wchan").read_text()) for task in Path(f"/proc/{self.process.pid}/task").iterdir()]
            raise AssertionError(f"still running, threads in {where}; seen at the end: {self.seen[-300:]!r}")
        while self.read(0.2):
            pass
        os.close(self.master)
        if self.out:
            self.out.close()
        return self.process.wait(timeout=1)


@pytest.fixture
def chat(tmp_path, request):
    """Starts chats with the tiny model; what is still running at the end is stopped."""
    open_terminals = []

    def start(*args, model=None, **env):
        terminal = Terminal("run", model or tiny("llama-tied"), "--template", TEMPLATE, "--temp", "0", "--ignore-eos", "-n", "8", "-t", "1", *args,
                            out=tmp_path / "answers", **env)
        open_terminals.append(terminal)
        terminal.expect("/help lists commands")
        terminal.prompt()
        return terminal

    yield start
    for terminal in open_terminals:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.wait()


def ask(terminal, text):
    """One turn; returns (tokens read, depth)."""
    terminal.line(text)
    terminal.expect("prompt ")
    read = int(terminal.expect(" tokens"))
    terminal.expect("depth ")
    depth = int(terminal.expect(";"))
    terminal.prompt()
    return read, depth


def stats(terminal):
    terminal.line("/stats")
    terminal.expect("messages, KV ")
    terminal.expect("depth ")
    tokens = int(terminal.expect(" of "))
    terminal.prompt()
    return tokens


def messages_of(terminal, path):
    terminal.line(f"/save {path}")
    terminal.expect("saved to")
    terminal.prompt()
    document = json.loads(path.read_text())
    assert document["schema"] == "kvasir.chat/1"
    return document["messages"]


def test_a_conversation(chat, tmp_path):
    terminal = chat()
    first, depth = ask(terminal, "Hello, who are you?")
    assert depth == first + 7
    # The second turn reads what is new: not the whole conversation.
    second, deeper = ask(terminal, "And why?")
    assert deeper > depth and second < deeper - 7 and stats(terminal) == deeper
    messages = messages_of(terminal, tmp_path / "c.json")
    assert [m["role"] for m in messages] == ["user", "assistant"] * 2
    assert messages[0]["content"] == "Hello, who are you?" and messages[2]["content"] == "And why?"
    terminal.line("/quit")
    assert terminal.end() == 0
    answers = (tmp_path / "answers").read_bytes().decode(errors="replace")
    for m in messages:
        assert (m["content"].rstrip("\n") in answers) == (m["role"] == "assistant"), m


def test_undo_goes_back(chat, tmp_path):
    terminal = chat()
    ask(terminal, "First.")
    before = messages_of(terminal, tmp_path / "before.json")
    ask(terminal, "Second.")
    second = messages_of(terminal, tmp_path / "second.json")
    terminal.line("/undo")
    terminal.expect("undone")
    terminal.prompt()
    assert messages_of(terminal, tmp_path / "after.json") == before
    # The same question again gives the same answer: the sequence is as it was.
    ask(terminal, "Second.")
    assert messages_of(terminal, tmp_path / "again.json") == second
    for _ in range(2):
        terminal.line("/undo")
        terminal.expect("undone")
    terminal.line("/undo")
    terminal.expect("nothing to undo")
    assert stats(terminal) == 0


def test_fork_and_branches(chat, tmp_path):
    terminal = chat()
    ask(terminal, "Root.")
    root = messages_of(terminal, tmp_path / "root.json")
    depth = stats(terminal)
    terminal.line("/fork")
    terminal.expect("branch 1 begins")
    assert stats(terminal) == depth
    ask(terminal, "Leaf.")
    leaf = messages_of(terminal, tmp_path / "leaf.json")
    assert leaf[:2] == root and len(leaf) == 4
    terminal.line("/branch 0")
    terminal.expect("* branch 0")
    terminal.prompt()
    assert messages_of(terminal, tmp_path / "root2.json") == root and stats(terminal) == depth
    ask(terminal, "Leaf.")
    assert messages_of(terminal, tmp_path / "leaf2.json") == leaf
    terminal.line("/branch 7")
    terminal.expect("no such branch")


def test_save_and_load(chat, tmp_path):
    terminal = chat("--system", "Be brief.")
    ask(terminal, "One.")
    saved = messages_of(terminal, tmp_path / "saved.json")
    assert saved[0] == {"role": "system", "content": "Be brief."}
    ask(terminal, "Two.")
    two = messages_of(terminal, tmp_path / "two.json")
    terminal.line("/quit")
    terminal.end()
    again = chat()
    again.line(f"/load {tmp_path / 'saved.json'}")
    again.expect("3 messages loaded")
    ask(again, "Two.")
    assert messages_of(again, tmp_path / "again.json") == two
    (tmp_path / "bad.json").write_text('{"messages": [{"role": 1}]}')
    again.line(f"/load {tmp_path / 'bad.json'}")
    again.expect("bad.json: message 1 has no role")
    again.expect("nothing was loaded")
    again.line(f"/load {tmp_path / 'absent.json'}")
    again.expect("absent.json: No such file")
    assert messages_of(again, tmp_path / "kept.json") == two


def test_file_goes_before_the_message(chat, tmp_path):
    (tmp_path / "note.txt").write_text("The note.")
    terminal = chat()
    terminal.line(f"/file {tmp_path / 'note.txt'}")
    terminal.expect("go before your next message")
    ask(terminal, "What does it say?")
    ask(terminal, "And now?")
    messages = messages_of(terminal, tmp_path / "c.json")
    assert messages[0]["content"] == "The note.\n\nWhat does it say?" and messages[2]["content"] == "And now?"


def test_lines_and_commands(chat, tmp_path):
    terminal = chat()
    terminal.line("/help")
    for name in ("/undo", "/regen", "/clear", "/system", "/set", "/file", "/fork", "/branch", "/save", "/load", "/stats", "/exit", "/quit"):
        terminal.expect(name)
    terminal.line("/nonsense")
    terminal.expect("no command")
    terminal.line("first line\\")
    terminal.expect("... ")
    ask(terminal, "second line")
    assert messages_of(terminal, tmp_path / "c.json")[0]["content"] == "first line\nsecond line"
    terminal.type(CTRL_D)
    assert terminal.end() == 0


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_typed_characters(chat, tmp_path, locale):
    """More than ASCII, and the editing keys: a character is deleted whole, the history comes back."""
    terminal = chat(LC_ALL=locale)
    ask(terminal, "Zoë 日本X\x7f語")
    terminal.type("\x10")  # Ctrl-P, the line before
    ask(terminal, "!")
    messages = messages_of(terminal, tmp_path / "c.json")
    assert [m["content"] for m in messages if m["role"] == "user"] == ["Zoë 日本語", "Zoë 日本語!"]


def test_first_message_from_the_command_line(tmp_path):
    terminal = Terminal("run", tiny("llama-tied"), "--template", TEMPLATE, "--chat", "-p", "Hi", "-n", "4", "--ignore-eos", "--temp", "0")
    terminal.expect("generated 4 tokens")
    terminal.prompt()
    terminal.line("/quit")
    assert terminal.end() == 0


def test_interrupt_at_the_prompt(chat):
    terminal = chat()
    terminal.type("half a line")
    terminal.type(CTRL_C)
    terminal.expect("Ctrl-D or /quit")
    terminal.prompt()
    ask(terminal, "Still here?")
    terminal.type(CTRL_C)
    terminal.expect("Ctrl-D or /quit")
    terminal.type(CTRL_C)
    assert terminal.end() == 0


def test_interrupted_answer(chat, tmp_path, smollm):
    """Ctrl-C while the answer comes: it is kept, and the chat goes on."""
    terminal = chat("-n", "2000", model=smollm)
    terminal.line("Count to one thousand.")
    answers = tmp_path / "answers"
    end = time.monotonic() + 60
    while answers.stat().st_size < 20 and time.monotonic() < end:
        terminal.read(0.1)
    terminal.type(CTRL_C)
    terminal.expect("the answer so far is kept", timeout=20)
    terminal.prompt()
    messages = messages_of(terminal, tmp_path / "c.json")
    assert messages[1]["content"].strip() and messages[1]["content"].strip() in answers.read_text(errors="replace")
    terminal.line("/undo")
    terminal.expect("undone")
    assert stats(terminal) == 0


def test_interrupted_prompt(chat, tmp_path):
    """Ctrl-C while a long message is read: it is put back with its file, and sending it again reads the rest alone."""
    (tmp_path / "long.txt").write_text("".join(f"{i} is a number; " for i in range(60_000)))
    terminal = chat("--ctx", "2M", "--kv-memory", "8G")
    ask(terminal, "Hello.")
    depth = stats(terminal)
    terminal.line(f"/file {tmp_path / 'long.txt'}")
    terminal.expect("before your next message")
    terminal.line("And?")
    terminal.expect("reading the prompt:")  # the progress line of a terminal
    terminal.expect("left")
    terminal.type(CTRL_C)
    terminal.expect("put back, with its files", timeout=20)
    terminal.prompt()
    terminal.expect("And?")
    terminal.type(CTRL_U)
    assert len(messages_of(terminal, tmp_path / "c.json")) == 2
    held = stats(terminal)
    assert held > depth  # what has been read of it is still there
    terminal.line("/file")
    terminal.expect("there is 1 now")
    terminal.prompt()
    terminal.line("/file none")
    terminal.expect("no file goes before")
    terminal.prompt()
    ask(terminal, "Hello again.")
    assert messages_of(terminal, tmp_path / "d.json")[2]["content"] == "Hello again."
    assert stats(terminal) > depth


@pytest.mark.parametrize("edited", [False, True])
def test_interrupted_file_is_sent_again(chat, tmp_path, edited):
    """After Ctrl-C while a message is read, Enter (or an edited message) sends it again, with its file; what was read already
    is not read again."""
    text = "".join(f"{i} is a number; " for i in range(500 if SHORT else 900))
    (tmp_path / "long.txt").write_text(text)
    terminal = chat("--ctx", "1M", "--kv-memory", "8G", "-b", "64")
    terminal.line(f"/file {tmp_path / 'long.txt'}")
    terminal.expect("before your next message")
    terminal.line("And?")
    terminal.expect("reading the prompt:")
    terminal.type(CTRL_C)
    terminal.expect("stopped before the answer; your message is put back, with its files", timeout=20)
    terminal.prompt()
    terminal.expect("And?")
    read, depth = ask(terminal, " Why?" if edited else "")
    assert 0 < read < depth - 60
    messages = messages_of(terminal, tmp_path / "c.json")
    assert messages[0]["content"] == text + "\n\nAnd?" + (" Why?" if edited else "")
    ask(terminal, "More.")  # the file has gone with its message
    assert messages_of(terminal, tmp_path / "d.json")[2]["content"] == "More."


def test_interrupted_long_message(tmp_path):
    """Too long for a line: it is kept, and an empty line sends it again. Lines that were typed ahead are forgotten."""
    text = "".join(f"{i} is a number; " for i in range(400 if SHORT else 900))
    (tmp_path / "long.txt").write_text(text)
    terminal = Terminal("run", tiny("llama-tied"), "--template", TEMPLATE, "--temp", "0", "--ignore-eos", "-n", "8", "-t", "1",
                        "--ctx", "1M", "--kv-memory", "8G", "-b", "32", "--chat", "-f", tmp_path / "long.txt", out=tmp_path / "answers")
    terminal.expect("reading the prompt:")
    terminal.type(CTRL_C)
    terminal.expect("your message is kept; an empty line sends it again", timeout=20)
    terminal.prompt()
    terminal.line("\nnever sent")  # in one piece
    terminal.expect("reading the prompt:")
    terminal.type(CTRL_C)
    terminal.expect("your message is kept", timeout=20)
    terminal.prompt()
    terminal.line("")
    terminal.expect("generated 8 tokens", timeout=120)
    terminal.prompt()
    assert [m["content"] for m in messages_of(terminal, tmp_path / "c.json")][::2] == [text]


def test_interrupted_without_an_editor(tmp_path):
    """Where lines cannot be edited the message is kept, and an empty line sends it again."""
    (tmp_path / "long.txt").write_text("".join(f"{i} is a number; " for i in range(250 if SHORT else 900)))
    terminal = Terminal("run", tiny("llama-tied"), "--template", TEMPLATE, "--temp", "0", "--ignore-eos", "-n", "8", "-t", "1",
                        "--ctx", "1M", "--kv-memory", "8G", "-b", "64", out=tmp_path / "answers", TERM="dumb")
    terminal.expect("> ")
    terminal.line(f"/file {tmp_path / 'long.txt'}")
    terminal.expect("before your next message")
    terminal.line("And?")
    terminal.expect("reading the prompt:")
    terminal.type(CTRL_C)
    terminal.expect("an empty line sends it again", timeout=20)
    terminal.line("")
    terminal.expect("generated 8 tokens")
    terminal.expect("> ")
    terminal.line(f"/save {tmp_path / 'c.json'}")
    terminal.expect("saved to")
    messages = json.loads((tmp_path / "c.json").read_text())["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant"] and messages[0]["content"].endswith("; \n\nAnd?")
    assert "\x1b[?2004h" not in terminal.seen
    terminal.line("exit")
    assert terminal.end() == 0


def test_message_longer_than_the_context(chat, tmp_path):
    terminal = chat("--ctx", "64")
    terminal.line("word " * 80)
    terminal.expect("context")
    terminal.expect("put back")
    terminal.prompt()
    terminal.type(CTRL_U)  # kills the line
    assert messages_of(terminal, tmp_path / "c.json") == []
    ask(terminal, "ok")


def test_no_progress_and_no_colour(tmp_path):
    """NO_COLOR and --no-progress: a terminal sees plain lines."""
    (tmp_path / "p.txt").write_text("word " * (800 if SHORT else 4000))
    args = ["run", tiny("llama-tied"), "--raw", "-f", tmp_path / "p.txt", "-c", "32K", "-n", "2", "--ignore-eos"]
    plain = Terminal(*args, "--no-progress", out=tmp_path / "o", NO_COLOR="1")
    assert plain.end(120) == 0 and "\x1b" not in plain.seen and "reading the prompt" not in plain.seen
    bright = Terminal(*args, out=tmp_path / "o")
    assert bright.end(120) == 0 and "\x1b[2m" in bright.seen
    assert b"\x1b" not in kvasir(*args).stderr


def test_model_without_a_template(tmp_path):
    terminal = Terminal("run", tiny("llama-tied"))
    terminal.expect("has no chat template")
    assert terminal.end() == 2


def test_chat_through_a_pipe():
    """--chat works without a terminal as well: lines in, answers out."""
    done = kvasir("run", tiny("llama-tied"), "--template", TEMPLATE, "--chat", "-n", "4", "--temp", "0", "--ignore-eos", input="Hi\n/stats\nMore\n")
    assert len(re.findall(rb"generated 4 tokens", done.stderr)) == 3  # two turns and /stats
    assert done.stdout.count(b"\n") >= 2
