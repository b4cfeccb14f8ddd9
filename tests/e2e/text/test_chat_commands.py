"""The commands of the chat, and what may be typed and pasted."""
import json
import os
import re
import signal
import termios
import time

import pytest

from conftest import SHORT, TEMPLATE, kvasir, tiny
from test_chat import CTRL_C, CTRL_D, CTRL_U, Terminal, ask, chat, messages_of, stats  # noqa: F401 (chat is a fixture)

PASTE_ON, PASTE_OFF = "\x1b[?2004h", "\x1b[?2004l"
ARGS = ["run", tiny("llama-tied"), "--template", TEMPLATE, "--temp", "0", "--ignore-eos", "-n", "8", "-t", "1"]


def pasted(text):
    return f"\x1b[200~{text}\x1b[201~"


def said(terminal, line, *texts):
    """Types a command; returns all that is said to it."""
    terminal.line(line)
    start = terminal.read_to
    for text in texts:
        terminal.expect(text)
    terminal.prompt()
    return terminal.seen[start:terminal.read_to]


def users(messages):
    return [m["content"] for m in messages if m["role"] == "user"]


# ---- commands ------------------------------------------------------------------------------------------------------


def test_clear_keeps_the_system_prompt(chat, tmp_path):
    terminal = chat("--system", "Be brief.")
    ask(terminal, "One.")
    one = messages_of(terminal, tmp_path / "one.json")
    ask(terminal, "Two.")
    said(terminal, "/clear", "4 messages are cleared; the system prompt stays")
    assert messages_of(terminal, tmp_path / "cleared.json") == [{"role": "system", "content": "Be brief."}]
    ask(terminal, "One.")
    assert messages_of(terminal, tmp_path / "again.json") == one


def test_clear_without_a_system_prompt(chat, tmp_path):
    terminal = chat()
    ask(terminal, "One.")
    said(terminal, "/clear", "2 messages are cleared\r\n")
    assert stats(terminal) == 0 and messages_of(terminal, tmp_path / "c.json") == []


def test_system_prompt(chat, tmp_path):
    terminal = chat()
    said(terminal, "/system", "there is no system prompt")
    said(terminal, "/system Be brief.", "the system prompt is set\r\n")
    ask(terminal, "One.")
    one = messages_of(terminal, tmp_path / "one.json")
    assert one[0] == {"role": "system", "content": "Be brief."}
    depth = stats(terminal)
    said(terminal, "/system Be long.", f"set; the conversation ({depth} tokens) is read again")
    assert messages_of(terminal, tmp_path / "long.json") == [{"role": "system", "content": "Be long."}] + one[1:]
    said(terminal, "/system", "Be long.")
    read, depth = ask(terminal, "Two.")
    assert read > depth - 8 - 12  # nearly all is read again
    said(terminal, "/system none", "the system prompt is gone")
    assert [m["role"] for m in messages_of(terminal, tmp_path / "none.json")] == ["user", "assistant"] * 2
    # The answers are those of a chat that had the other prompt from its beginning.
    fresh = chat("--system", "Be long.")
    fresh.line(f"/load {tmp_path / 'one.json'}")
    fresh.expect("3 messages loaded")
    said(fresh, "/system Be long.", "the system prompt is set")
    ask(fresh, "Two.")
    said(fresh, "/system none", "gone")
    assert messages_of(fresh, tmp_path / "fresh.json") == messages_of(terminal, tmp_path / "same.json")


def test_system_prompt_of_several_lines_shown_safely(chat, tmp_path):
    terminal = chat()
    terminal.type(pasted("/system Be brief.\nAnd \x1b]0;title\x07kind."))
    terminal.type("\r")
    terminal.expect("the system prompt is set")
    terminal.prompt()
    shown = said(terminal, "/system", "kind.")
    assert "Be brief.\r\nAnd \\x1b]0;title\\x07kind." in shown and "\x1b]0" not in shown
    assert messages_of(terminal, tmp_path / "c.json")[0]["content"] == "Be brief.\nAnd \x1b]0;title\x07kind."


def test_template_that_refuses_a_system_prompt(chat, tmp_path):
    (tmp_path / "t.jinja").write_text("{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
                                      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    terminal = chat("--template", tmp_path / "t.jinja")
    ask(terminal, "One.")
    said(terminal, "/system Be brief.", "no system role", "stays as it was")
    assert [m["role"] for m in messages_of(terminal, tmp_path / "c.json")] == ["user", "assistant"]
    ask(terminal, "Two.")


def test_another_answer(chat, tmp_path):
    terminal = chat("--temp", "1", "--seed", "7", "-n", "12")
    said(terminal, "/regen", "there is no message yet")
    ask(terminal, "First.")
    ask(terminal, "Second.")
    before = messages_of(terminal, tmp_path / "before.json")
    said(terminal, "/regen", "generated 12 tokens")
    after = messages_of(terminal, tmp_path / "after.json")
    assert after[:3] == before[:3] and len(after) == 4 and after[3]["content"] != before[3]["content"]
    said(terminal, "/regen", "generated 12 tokens")
    third = messages_of(terminal, tmp_path / "third.json")[3]["content"]
    assert third not in (before[3]["content"], after[3]["content"])
    # The seed begins anew with /set: the answer is that of a new chat.
    said(terminal, "/clear", "cleared")
    said(terminal, "/set seed 7", "seed                7")
    ask(terminal, "First.")
    assert messages_of(terminal, tmp_path / "anew.json") == before[:2]
    said(terminal, "/set temp 0", "temp                0")
    said(terminal, "/regen", "the answer will be the same", "generated 12")


def test_answer_to_a_loaded_question(chat, tmp_path):
    (tmp_path / "q.json").write_text(json.dumps([{"role": "user", "content": "Why?"}]))
    terminal = chat()
    said(terminal, f"/load {tmp_path / 'q.json'}", "1 message loaded, to be")
    said(terminal, "/regen", "generated 8 tokens")
    assert [m["role"] for m in messages_of(terminal, tmp_path / "c.json")] == ["user", "assistant"]


def test_settings(chat, tmp_path):
    terminal = chat("--top-k", "7")
    listed = said(terminal, "/set", "seed ")
    for name, value in {"predict": "8", "temp": "0", "top-k": "7", "top-p": "0.95", "min-p": "0.05", "repeat-penalty": "1", "stop": "none",
                        "ignore-eos": "on", "draft": "none"}.items():
        assert re.search(rf"[\nl]{name} +{re.escape(value)}\r", listed), name
    said(terminal, "/set n 3", "predict             3")
    terminal.line("count")
    terminal.expect("generated 3 tokens")
    terminal.prompt()
    said(terminal, "/set --top-k 5", "top-k               5")
    said(terminal, "/set temperature 0.5", "temp                0.5")
    said(terminal, "/set top-p", "top-p               0.95", "Keep the best tokens")
    # The command line's limits and words; the value stays.
    for line, words in {"temp 101": "--temp 101 is out of range (0 to 100)", "temp hot": "--temp wants a number, not 'hot'",
                        "n 0": "--predict (-n) 0 would generate nothing", "draft x": "--draft x: none and lookup are known",
                        "ignore-eos maybe": "wants on or off", "logit-bias x": "--logit-bias wants ID=BIAS, not 'x'",
                        "logit-bias 99999999=1": "99999999", "top_k 3": "did you mean top-k?", "sed 3": "did you mean seed?", "zzzz 1": "/set lists them"}.items():
        said(terminal, f"/set {line}", words)
    for name, option in (("kv", "kv"), ("ctx", "ctx"), ("threads", "threads"), ("-ctk", "cache-type-k"), ("t", "threads")):
        said(terminal, f"/set {name} q8", "cannot be changed in a chat", f"new start with --{option} ")
    listed = said(terminal, "/set", "seed ")
    for name, value in {"predict": "3", "temp": "0.5", "draft": "none", "ignore-eos": "on", "logit-bias": "none"}.items():
        assert re.search(rf"[\nl]{name} +{re.escape(value)}\r", listed), name
    said(terminal, "/set logit-bias 15=-inf", "'15=-inf'")
    said(terminal, "/set logit-bias 16=2", "'15=-inf' '16=2'")
    said(terminal, "/set logit-bias none", "logit-bias          none")
    said(terminal, "/set ignore-eos off", "ignore-eos          off")
    for line in ("temp 101", "predict 0"):
        name, value = line.split()
        assert kvasir(*ARGS, f"--{name}", value, "-p", "x", code=2).stderr


def test_setting_a_stop_text(chat, tmp_path):
    terminal = chat()
    ask(terminal, "Go.")
    first = messages_of(terminal, tmp_path / "a.json")[1]["content"]
    stop = first[2:4]
    assert stop.strip() == stop and "'" not in stop, "a model with another answer needs another text here"
    said(terminal, f"/set stop {stop}", "stop ")
    terminal.line("/regen")
    terminal.expect("stopped by string")
    terminal.prompt()
    assert messages_of(terminal, tmp_path / "b.json")[1]["content"] == first[:first.index(stop)]


@pytest.mark.parametrize("typed, meant", [("/hlep", "/help"), ("/sav x", "/save"), ("/stat", "/stats"), ("/sets", "/set"), ("/exot", "/exit"),
                                          ("/branhc 1", "/branch")])
def test_did_you_mean(chat, typed, meant):
    assert f"did you mean {meant}?" in said(chat(), typed, "is no command", "?")


def test_unknown_commands_far_from_all(chat):
    terminal = chat()
    said(terminal, "/usr/bin/env", "/usr/bin/env is no command; /help lists them")
    said(terminal, "/" + "x" * 300, "is no command; /help lists them")
    said(terminal, "/", "/ is no command; /help lists them")


@pytest.mark.parametrize("word", ["exit", "quit", "/exit", "/quit", "exit ", CTRL_D])
def test_ways_to_leave(chat, word):
    terminal = chat()
    terminal.type(word if word == CTRL_D else word + "\n")
    assert terminal.end() == 0
    assert terminal.seen.count(PASTE_ON) == terminal.seen.count(PASTE_OFF) > 0


def test_the_word_exit_as_a_message(chat, tmp_path):
    terminal = chat()
    for text in (" exit", '"""exit"""', "exit now", '"""/help"""', " /help"):
        ask(terminal, text)
    assert users(messages_of(terminal, tmp_path / "c.json")) == [" exit", "exit", "exit now", "/help", " /help"]


def test_completion(chat, tmp_path):
    terminal = chat()
    terminal.type("/sy\tBe brief.\r")
    terminal.expect("the system prompt is set")
    terminal.prompt()
    terminal.type("/set min\t0.25\r")
    terminal.expect("min-p               0.25")
    terminal.prompt()
    terminal.type("/s\tats\r")  # several: nothing is added
    terminal.expect("/sats is no command")
    terminal.prompt()
    ask(terminal, "a\tb")  # no command: Tab does nothing
    assert users(messages_of(terminal, tmp_path / "c.json")) == ["ab"]


def test_stats_labels(chat):
    terminal = chat("-c", "8192")
    ask(terminal, "Hi.")
    text = said(terminal, "/stats", "last turn")
    assert re.search(r"process [\d.]+ MiB resident \(peak [\d.]+ MiB\), weights [\d.]+ [KM]iB; KV [\d.]+ [KMG]iB of [\d.]+ [KMG]iB; depth \d+ of 8192\r", text), text


# ---- files ---------------------------------------------------------------------------------------------------------


def test_save_asks_before_it_overwrites(chat, tmp_path):
    path = tmp_path / "c.json"
    path.write_text("precious")
    path.chmod(0o600)
    terminal = chat()
    ask(terminal, "One.")
    for answer in ("", "n", "nonsense"):
        terminal.line(f"/save {path}")
        terminal.expect("is there already. Overwrite it? [y/N] ")
        terminal.line(answer)
        terminal.expect("nothing was saved")
        terminal.prompt()
        assert path.read_text() == "precious"
    terminal.line(f"/save {path}")
    terminal.expect("[y/N] ")
    terminal.type(CTRL_C)
    terminal.expect("nothing was saved")
    terminal.prompt()
    terminal.line(f"/save {path}")
    terminal.expect("[y/N] ")
    terminal.line("y")
    terminal.expect("2 messages saved to")
    terminal.prompt()
    assert json.loads(path.read_text())["schema"] == "kvasir.chat/1" and path.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers", "c.json"]
    terminal.type("\x10\x10")  # the answers to questions are not in the history
    terminal.expect("/save")
    terminal.type(CTRL_U)
    said(terminal, f"/save {tmp_path}", "is no regular file")
    said(terminal, f"/save {tmp_path / 'no' / 'where.json'}", "its folder does not exist")


def test_save_through_a_link(chat, tmp_path):
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "link.json").symlink_to("real.json")
    terminal = chat()
    ask(terminal, "One.")
    terminal.line(f"/save {tmp_path / 'link.json'}")
    terminal.expect("[y/N] ")
    terminal.line("yes")
    terminal.expect("saved to")
    assert (tmp_path / "link.json").is_symlink() and len(json.loads((tmp_path / "real.json").read_text())["messages"]) == 2


def test_save_without_a_terminal(tmp_path):
    path = tmp_path / "c.json"
    path.write_text("precious")
    done = kvasir(*ARGS, "--chat", input=f"Hi\n/save {path}\n/save {tmp_path / 'new.json'}\n")
    assert path.read_text() == "precious" and b"is there already, and stdin is no terminal to ask at" in done.stderr
    assert len(json.loads((tmp_path / "new.json").read_text())["messages"]) == 2


def test_save_replaces_the_file_at_once(chat, tmp_path):
    """What is written first lies beside it under a name that nobody has; afterwards there is the file alone."""
    path = tmp_path / "c.json"
    path.write_text("precious")
    (tmp_path / "c.json.part").mkdir()
    before = path.stat().st_ino
    terminal = chat()
    ask(terminal, "One.")
    terminal.line(f"/save {path}")
    terminal.expect("[y/N] ")
    terminal.line("y")
    terminal.expect("2 messages saved to")
    terminal.prompt()
    assert json.loads(path.read_text())["schema"] == "kvasir.chat/1" and path.stat().st_ino != before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers", "c.json", "c.json.part"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_save_where_nothing_can_be_written(chat):
    terminal = chat()
    ask(terminal, "One.")
    said(terminal, "/save /dev/full", "is no regular file; nothing was saved")


@pytest.mark.parametrize("text, words", [
    ('{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant"}]}', "message 2 has no text as its content"),
    ('{"messages": [{"role": "user", "content": ["Hi"]}]}', "message 1 has no text as its content"),
    ('{"messages": [{"content": "Hi"}]}', "message 1 has no role"),
    ('{"messages": ["Hi"]}', "message 1 is no object"),
    ('{"schema": "kvasir.run/1", "messages": []}', "its schema is 'kvasir.run/1', not kvasir.chat/1"),
    ('{"schema": "kvasir.chat/1"}', "it has no list of messages"),
    ('"Hi"', "no JSON document"),
    ('{"messages": [{"role": "user", "content": "Hi"', "is no JSON document: line 1"),
    ("", "is empty, and no conversation"),
    ('{"messages": [], "messages": []}', "duplicate"),
    ("\x00\x01\x02", "is no JSON document"),
])
def test_load_of_a_damaged_file(chat, tmp_path, text, words):
    (tmp_path / "bad.json").write_text(text)
    terminal = chat()
    ask(terminal, "One.")
    one = messages_of(terminal, tmp_path / "one.json")
    assert "bad.json" in said(terminal, f"/load {tmp_path / 'bad.json'}", words, "nothing was loaded")
    assert messages_of(terminal, tmp_path / "two.json") == one
    ask(terminal, "Two.")


def test_load_that_the_template_refuses(chat, tmp_path):
    (tmp_path / "t.jinja").write_text("{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('role ' + m.role) }}{% endif %}"
                                      "<{{ m.role }}>{{ m.content }}{% endfor %}")
    (tmp_path / "tool.json").write_text(json.dumps([{"role": "tool", "content": "x"}]))
    terminal = chat("--template", tmp_path / "t.jinja")
    said(terminal, f"/load {tmp_path / 'tool.json'}", "role tool", "nothing was loaded")
    ask(terminal, "One.")


def test_file_that_is_not_there(chat, tmp_path):
    terminal = chat()
    said(terminal, f"/file {tmp_path / 'absent'}", "No such file")
    said(terminal, "/file", "0 now")
    said(terminal, "/file -", "would read what you type")
    said(terminal, "/file none", "there was no file")


# ---- what is typed and pasted --------------------------------------------------------------------------------------


def test_quoted_blocks(chat, tmp_path):
    terminal = chat()
    for line in ('"""', "first", "", "  /third\\"):
        terminal.line(line)
        terminal.expect("... ")
    ask(terminal, '"""')
    terminal.line('"""a')
    terminal.expect("... ")
    ask(terminal, 'b"""  ')
    terminal.line('"""abandoned')
    terminal.expect("... ")
    terminal.type(CTRL_C)
    terminal.expect("once more")
    terminal.prompt()
    ask(terminal, "say \"\"\" in it")
    assert users(messages_of(terminal, tmp_path / "c.json")) == ["first\n\n  /third\\", "a\nb", 'say """ in it']


def test_blocks_through_a_pipe(tmp_path):
    done = kvasir(*ARGS, "--chat", input=f'"""\na\nb\n"""\n/save {tmp_path / "c.json"}\nexit\nnever\n')
    assert done.stderr.count(b"generated 8 tokens") == 1
    assert users(json.loads((tmp_path / "c.json").read_text())["messages"]) == ["a\nb"]
    done = kvasir(*ARGS, "--chat", input='"""\na\nb')
    assert b'no closing """' in done.stderr and done.stderr.count(b"generated 8 tokens") == 1


def test_a_paste_is_one_message(chat, tmp_path):
    terminal = chat()
    assert PASTE_ON in terminal.seen
    terminal.type("Look: " + pasted("line one\nline two\r\n\r\tindented\r") + " and more")
    ask(terminal, "!")
    ask(terminal, pasted("one line") + "")
    # It can be edited, and taken from the history.
    terminal.type(pasted("x\nyz") + "\x7f")
    ask(terminal, "")
    terminal.type("\x10")
    ask(terminal, "?")
    ask(terminal, pasted("ends with a line end\n\n"))
    ask(terminal, pasted("/save nothing\nor that\\"))
    ask(terminal, pasted('"""doc"""\ndef f(): pass\n'))
    assert users(messages_of(terminal, tmp_path / "c.json")) == [
        "Look: line one\nline two\n\n\tindented\n and more!", "one line", "x\ny", "x\ny?", "ends with a line end", "/save nothing\nor that\\",
        '"""doc"""\ndef f(): pass']


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_large_paste(chat, tmp_path, locale):
    """In many small writes, so that the marks and characters are cut anywhere."""
    terminal = chat("-c", "32K", LC_ALL=locale)
    text = "".join(f"Zeile {i}: schön 日本\n" for i in range(60 if SHORT else 300)).rstrip("\n")
    data = pasted(text).encode()
    for at in range(0, len(data), 97):
        os.write(terminal.master, data[at:at + 97])
        terminal.read(0)
    ask(terminal, "")
    assert users(messages_of(terminal, tmp_path / "c.json")) == [text]


HOSTILE = "a\x03b\x1a\x1c\x04\x15\x16\x13\x11\x12c\x1b[2J\x1b]0;title\x07\x1b[201d\x7f\x08\x0c\x9b31m\x80z"


def test_a_hostile_paste(chat, tmp_path):
    """Nothing in a paste is a key or a signal, and nothing of it reaches the terminal."""
    terminal = chat()
    start = len(terminal.seen)
    terminal.type(pasted(HOSTILE))
    ask(terminal, "")
    seen = terminal.seen[start:]
    for bad in ("\x1b[2J", "\x1b]0", "\x1b[201d", "\x9b", "\x0c"):
        assert bad not in seen, bad
    assert users(messages_of(terminal, tmp_path / "c.json")) == [HOSTILE]
    os.write(terminal.master, b"\x1b[200~bad \xff\xc3 zero \x00 end\x1b[201~")
    ask(terminal, "")
    assert users(messages_of(terminal, tmp_path / "d.json"))[1] == "bad \ufffd\ufffd zero \ufffd end"


def test_a_paste_during_a_search_and_in_vi_mode(chat, tmp_path):
    (tmp_path / ".editrc").write_text("bind -v\n")
    for env in ({}, {"HOME": str(tmp_path)}):
        terminal = chat(**env)
        if env:
            ask(terminal, pasted("in\nvi") + "x")
            assert users(messages_of(terminal, tmp_path / "vi.json")) == ["in\nvix"]
        else:
            ask(terminal, "before")
            terminal.type("\x12")
            terminal.expect("bck:")
            terminal.type(pasted("two\nlines"))
            terminal.type("\r")
            terminal.expect("generated 8 tokens")
            terminal.prompt()
            assert "two\nlines" in users(messages_of(terminal, tmp_path / "search.json"))[1]


def test_a_paste_without_an_end(chat, tmp_path):
    terminal = chat()
    terminal.type("\x1b[200~never\nending")
    time.sleep(1.5)
    terminal.type(CTRL_C)
    terminal.expect("once more")
    terminal.prompt()
    ask(terminal, "Fine.")
    assert users(messages_of(terminal, tmp_path / "c.json")) == ["Fine."]


def test_escape_keys_still_work(chat, tmp_path):
    terminal = chat()
    terminal.type("one two")
    terminal.type("\x1bb")  # Alt-b: a word back
    terminal.type("\x1b[D")  # the left arrow
    ask(terminal, "X")
    terminal.type("abc\x1b")
    time.sleep(0.3)  # a lone escape, then a key
    ask(terminal, "b!")
    assert users(messages_of(terminal, tmp_path / "c.json")) == ["oneX two", "!abc"]


# ---- the terminal is left as it was --------------------------------------------------------------------------------


def local_mode(terminal):
    return termios.tcgetattr(terminal.master)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)


ALL = termios.ICANON | termios.ECHO | termios.ISIG


DEADLY = [signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO,
          signal.SIGXCPU, signal.SIGPWR, signal.SIGRTMIN + 3, signal.SIGSEGV, signal.SIGABRT]


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 130), *((n, -n) for n in DEADLY if not (SHORT and n == signal.SIGSEGV))])  # which a sanitizer takes
def test_signals_restore_the_terminal(chat, number, code):
    terminal = chat()
    terminal.type("half a line")
    terminal.expect("half a line")
    terminal.process.send_signal(number)
    end = time.monotonic() + 20
    while terminal.process.poll() is None and time.monotonic() < end:
        terminal.read(0.1)
    while terminal.read(0.2):
        pass
    assert terminal.process.wait(timeout=1) == code
    assert terminal.seen.rindex(PASTE_OFF) > terminal.seen.rindex(PASTE_ON)
    assert local_mode(terminal) == ALL


def test_what_is_typed_while_it_answers_is_no_signal(chat, tmp_path):
    """Bytes that would be Ctrl-\\ or Ctrl-Z may stand in a paste: they end nothing, then or at the next prompt. Ctrl-C stops."""
    (tmp_path / "long.txt").write_text("".join(f"{i} is a number; " for i in range(500 if SHORT else 900)))
    terminal = chat("--ctx", "1M", "--kv-memory", "8G", "-b", "64")
    terminal.line(f"/file {tmp_path / 'long.txt'}")
    terminal.expect("before your next message")
    terminal.prompt()
    terminal.line("And?")
    terminal.expect("reading the prompt:")
    terminal.type("pas\x1cted\x1a")
    terminal.expect("generated 8 tokens", timeout=120)
    terminal.prompt()
    ask(terminal, " text")
    assert users(messages_of(terminal, tmp_path / "c.json"))[1] == "pasted text"
    terminal.type("\x1c")  # typed at the prompt it is the key that it was
    assert terminal.end() == -signal.SIGQUIT


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR1, *([] if SHORT else [signal.SIGSEGV])])
def test_signals_restore_the_terminal_while_it_answers(chat, tmp_path, number):
    (tmp_path / "long.txt").write_text("".join(f"{i} is a number; " for i in range(900)))
    terminal = chat("--ctx", "1M", "--kv-memory", "8G", "-b", "64")
    keys = termios.tcgetattr(terminal.master)[6]
    terminal.line(f"/file {tmp_path / 'long.txt'}")
    terminal.expect("before your next message")
    terminal.prompt()
    terminal.line("And?")
    terminal.expect("reading the prompt:")
    assert termios.tcgetattr(terminal.master)[6][termios.VQUIT] == b"\x00"
    terminal.process.send_signal(number)
    end = time.monotonic() + 20
    while terminal.process.poll() is None and time.monotonic() < end:
        terminal.read(0.1)
    assert terminal.process.wait(timeout=1) == -number
    assert termios.tcgetattr(terminal.master)[6][termios.VQUIT] == keys[termios.VQUIT] and local_mode(terminal) == ALL


def test_only_two_interrupts_in_a_row_leave(chat):
    terminal = chat()
    for text in ("", "half a line", "x\x7f", "\"\"\"\n"):
        terminal.type(text)
        time.sleep(0.2)
        terminal.type(CTRL_C)
        terminal.expect("once more")
        terminal.prompt()
    terminal.type(CTRL_C)
    assert terminal.end() == 0


def test_a_file_that_is_too_large(chat, tmp_path):
    """It is refused by its size; what has none is read until Ctrl-C."""
    with open(tmp_path / "sparse", "wb") as f:
        f.truncate(5 << 30)
    os.mkfifo(tmp_path / "pipe")
    terminal = chat()
    started = time.monotonic()
    said(terminal, f"/file {tmp_path / 'sparse'}", "sparse has 5.00 GiB: more than 1 GiB is no text", "no file was added")
    assert time.monotonic() - started < 2
    for path in (tmp_path / "pipe", "/dev/zero"):
        terminal.line(f"/file {path}")
        time.sleep(0.5)
        terminal.type(CTRL_C)
        terminal.expect("stopped", timeout=5)
        terminal.expect("no file was added")
        terminal.prompt()
    said(terminal, "/file", "there are 0 now")
    for command in (["run", tiny("llama-tied"), "-f"], ["tokenize", tiny("llama-tied"), "-f"]):
        assert b"5.00 GiB" in kvasir(*command, tmp_path / "sparse", code=2).stderr


def test_an_empty_file_is_no_conversation(chat, tmp_path):
    (tmp_path / "empty.json").touch()
    said(chat(), f"/load {tmp_path / 'empty.json'}", "empty.json is empty, and no conversation", "nothing was loaded")


def test_suspended_and_resumed(chat, tmp_path):
    terminal = chat()
    terminal.type("half")
    terminal.expect("half")
    os.kill(terminal.process.pid, signal.SIGSTOP)  # as a check of what follows: it does nothing to the terminal
    os.kill(terminal.process.pid, signal.SIGCONT)
    terminal.type("\x1a")
    terminal.expect(PASTE_OFF)
    end = time.monotonic() + 10
    stat = f"/proc/{terminal.process.pid}/stat"
    orphan = lambda: open(stat).read().rsplit(")", 1)[1].split()[0] != "T"  # a session of its own: the kernel may not stop it
    while orphan() and PASTE_ON not in terminal.seen[terminal.read_to:] and time.monotonic() < end:
        terminal.read(0.1)
    if not orphan():
        assert local_mode(terminal) == ALL
        os.kill(terminal.process.pid, signal.SIGCONT)
    terminal.expect(PASTE_ON)
    ask(terminal, " and half")
    assert users(messages_of(terminal, tmp_path / "c.json")) == ["half and half"]


def test_ended_while_it_answers(chat, tmp_path):
    (tmp_path / "long.txt").write_text("".join(f"{i} is a number; " for i in range(500 if SHORT else 900)))
    terminal = chat("--ctx", "1M", "--kv-memory", "8G", "-b", "64")
    terminal.line(f"/file {tmp_path / 'long.txt'}")
    terminal.expect("before your next message")
    terminal.line("And?")
    terminal.expect("reading the prompt:")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 130


def test_an_answer_that_fails_on_the_way_is_kept(tmp_path):
    """Another branch has taken most of the KV memory."""
    done = kvasir("run", tiny("llama-tied"), "--template", TEMPLATE, "--temp", "0", "--ignore-eos", "-n", "700", "-t", "1", "-c", "1K", "--kv-memory",
                  "600K", "--chat", input=f"Hi\n/fork\n/clear\nB b b\n/save {tmp_path / 'c.json'}\n")
    assert b"the answer so far is kept" in done.stderr
    messages = json.loads((tmp_path / "c.json").read_text())["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant"] and len(messages[1]["content"]) > 100
    assert messages[1]["content"] in done.stdout.decode()


# ---- before the weights are read -----------------------------------------------------------------------------------


@pytest.mark.parametrize("template, system, code, words", [
    (None, None, 2, "has no chat template"),
    ("{% if %}", None, 1, "t.jinja: line 1"),
    ("{{ raise_exception('no system') }}", "x", 1, "t.jinja: no system"),
])
@pytest.mark.parametrize("chat_option", [True, False])
def test_templates_are_checked_before_the_weights_load(tmp_path, template, system, code, words, chat_option):
    args = ["run", tiny("llama-tied"), "-v", *(["--chat"] if chat_option else ["-p", "Hi", "--system", "x"])]
    if template:
        (tmp_path / "t.jinja").write_text(template)
        args += ["--template", tmp_path / "t.jinja"]
    if system and chat_option:
        args += ["--system", system]
    done = kvasir(*args, input="Hi\n", code=code)
    assert words.encode() in done.stderr and b"loaded in" not in done.stderr
    assert b"loaded in" in kvasir(*ARGS, "-v", "-p", "Hi").stderr


def test_chat_and_raw_exclude_each_other(tmp_path):
    assert b"--chat needs the chat template" in kvasir("run", tiny("llama-tied"), "--chat", "--raw", code=2).stderr
    done = kvasir("run", tiny("llama-tied"), "--raw", "--template", TEMPLATE, "-p", "x", code=2)
    assert b"--raw leaves out the chat template" in done.stderr


# ---- words wrap ----------------------------------------------------------------------------------------------------


def test_answers_wrap_at_a_terminal(tmp_path, smollm):
    args = ["run", smollm, "-p", "Tell me about the sea.", "-n", "20" if SHORT else "120", "--temp", "0", "-t", "1"]
    exact = kvasir(*args).stdout.decode()
    terminal = Terminal(*args)
    termios.tcsetwinsize(terminal.master, (24, 40))
    assert terminal.end(120) == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", terminal.seen)
    shown = shown[:shown.index("\nprompt ") + 1]
    shown = shown.split("left")[-1]
    lines = shown.split("\n")
    assert max(map(len, lines)) <= 40 and len(lines) > len(exact.split("\n"))
    assert shown.split() == exact.split()
    assert max(map(len, exact.split("\n"))) > 40  # a pipe gets the text itself
