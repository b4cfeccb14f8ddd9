"""The progress line at a terminal: never longer than that is wide, whatever it is, also when it changes."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from conftest import BIN, environment, tiny

LLAMA = tiny("llama-tied")
LONG = ["sweep", LLAMA, "--depths", "2k", "--pp", "512", "--tg", "250", "--repeat", "100", "-t", "1"]


def resize(fd, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


class Terminal:
    """A command with a terminal as its stderr; the lines that it drew."""

    def __init__(self, columns, *args):
        self.master, slave = pty.openpty()
        resize(self.master, columns)
        self.process = subprocess.Popen([BIN, *args], stdout=subprocess.DEVNULL, stderr=slave, env=environment())
        os.close(slave)

    def lines(self, n):
        text, end = b"", time.monotonic() + 60
        while text.count(b"\r\x1b[K") <= n and time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    text += os.read(self.master, 4096)
                except OSError:  # it has ended
                    break
        assert b"\n" not in text
        drawn = [line for line in text.decode().split("\r\x1b[K")[:-1] if line]  # the last may have come in part
        assert len(drawn) >= min(n, 3), text
        return drawn

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal():
    opened = []

    def start(columns, *args):
        opened.append(Terminal(columns, *args))
        return opened[-1]
    yield start
    for t in opened:
        t.stop()


@pytest.mark.parametrize("columns,width", [(0, 80), (20, 20), (40, 40), (80, 80), (200, 200)])
def test_width(terminal, columns, width):
    """0: nobody knows, so 80."""
    lines = terminal(columns, *LONG).lines(6)
    assert max(map(len, lines)) < width, lines
    assert all("%" in line for line in lines)
    if width == 200:
        assert all(re.match(r"f16, depth 2,048, \w+: [\d,]+ of [\d,]+ tokens \(\d+%\), [\d.]+ tokens/s, \S.* left", x) for x in lines)
    if width == 20:
        assert all(re.fullmatch(r"f16, depth.*\.\.\. \d+%", x) for x in lines)


def test_resized_while_running(terminal):
    t = terminal(120, *LONG)
    assert any(len(line) > 60 for line in t.lines(4))
    for columns in (30, 7, 100):
        resize(t.master, columns)
        t.lines(2)  # what was drawn before
        assert all(len(line) < columns for line in t.lines(4))


def test_a_very_narrow_one(terminal):
    """Nothing fits: nothing is drawn, and nothing wraps."""
    t = terminal(2, *LONG)
    time.sleep(1.5)
    text = os.read(t.master, 4096)
    assert text.replace(b"\r\x1b[K", b"") == b""
