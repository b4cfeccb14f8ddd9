"""Options as people type them: other programs' names, slips, numbers of tokens; and commands that are nearly right."""
import json
import re

import pytest

from conftest import COMMANDS, SOURCE, kvasir, kvasir_json

GREEDY = ["--raw", "--temp", "0", "-n", "6", "--ignore-eos"]
TABLE = (SOURCE / "src/cli/args/llama.c").read_text()


def rows(kind):
    """(names, takes an argument, words) of the table's rows of a kind."""
    body = TABLE.split("cli_llama_options[] = {")[1]
    found = []
    for row in re.findall(rf"\b{kind}\(((?:[^()\"]|\"(?:[^\"\\]|\\.)*\")*)\)", body):
        cells = re.findall(r'"(?:[^"\\]|\\.)*"|[A-Z_]+', row)
        names = ["--" + cells[0].strip('"'), *(cells[1].strip('"').split() if cells[1] != "NULL" else [])]
        found.append((names, kind == "MAYBE" or cells[2] != "NULL", cells[2].strip('"').split() if kind == "MAYBE" else []))
    assert len(found) > 2, kind
    return found


# ---- llama.cpp ------------------------------------------------------------------------------------------------------

def test_what_has_no_effect_is_said_and_changes_nothing(llama):
    plain = kvasir_json("run", llama, "-p", "abc", *GREEDY)["ids"]
    args, names = [], []
    for row, takes, _ in rows("NOTHING"):
        for name in row:
            args += [name, "7"] if takes else [name]
            names.append(name)
    done = kvasir("run", *args, "-m", llama, "-p", "abc", *GREEDY, "--json")
    assert json.loads(done.stdout)["ids"] == plain
    said = done.stderr.decode()
    missing = [n for n in names if f"kvasir: {n}: " not in said]
    assert not missing and len(names) > 80


def test_an_argument_that_may_be_absent(llama):
    plain = kvasir_json("run", llama, "-p", "abc", *GREEDY)["ids"]
    for row, _, words in rows("MAYBE"):
        for name in row:
            for more in [[], *([w] for w in words)]:
                done = kvasir("run", name, *more, llama, "-p", "abc", *GREEDY, "--json")
                assert json.loads(done.stdout)["ids"] == plain and f"{name}: ".encode() in done.stderr
    # Only its own words are taken: here the next one is the model, and is missed where it is not.
    assert b"MODEL is missing" in kvasir("run", "-p", "abc", "-fa", "on", code=2).stderr
    assert kvasir("run", "-p", "abc", *GREEDY, llama, "--flash-attn=auto", "-n", "1").returncode == 0


@pytest.mark.parametrize("names,takes,words", rows("REFUSED") + rows("REFUSED_BUT"))
def test_what_would_change_the_answer_is_refused(llama, names, takes, words):
    for name in names:
        done = kvasir("run", llama, name, *(["5"] if takes else []), "-p", "abc", code=2)
        lines = done.stderr.decode().splitlines()
        assert len(lines) == 1 and lines[0].startswith(f"kvasir run: {name}: ") and len(lines[0]) > 40 and done.stdout == b""


def test_refused_unless_it_asks_for_nothing(llama):
    plain = kvasir_json("run", llama, "-p", "abc", *GREEDY)["ids"]
    assert kvasir_json("run", llama, "-p", "abc", *GREEDY, "--mirostat", "0", "--top-nsigma=-1")["ids"] == plain
    assert b"mirostat is not supported; --temp with --top-p" in kvasir("run", llama, "-p", "abc", "--mirostat", "2", code=2).stderr
    assert b"--mirostat" in kvasir("run", llama, "-p", "abc", "--mirostat", code=2).stderr


def test_the_model_as_an_option(llama):
    plain = kvasir_json("run", llama, "-p", "abc", *GREEDY)["ids"]
    for args in (["-m", llama], ["--model", llama], [f"--model={llama}"], ["-m" + llama], ["-mu", llama]):
        assert kvasir_json("run", *args, "-p", "abc", *GREEDY)["ids"] == plain
    for args in ([llama, "-m", llama], ["-m", llama, llama], ["-m", llama, "-hf", "a/b"], ["-m", llama, "--model", llama]):
        assert b"one MODEL only" in kvasir("run", *args, "-p", "abc", code=2).stderr
    assert b"requires an argument" in kvasir("run", "-p", "abc", "-m", code=2).stderr
    assert kvasir_json("tokenize", "-m", llama, "-p", "abc") == kvasir_json("tokenize", llama, "-p", "abc")
    two = kvasir_json("plan", "-m", llama, llama, "--ctx", "64")
    assert len(two["models"]) == 2
    for args in (["-hf", "o/r"], ["--hf-repo", "o/r"], ["-hf", "hf:o/r"], ["-hfr", "o/r"]):
        # Tries that are known to be in vain take seconds each: one of run stands for all.
        for command, more in (("pull", ["--retries", "0"]), ("run", ["-p", "x"]))[:2 if args[0] == "-hf" else 1]:
            text = kvasir(command, *args, *more, code=1, KVASIR_HF_ENDPOINT="http://127.0.0.1:1", NO_PROXY="*").stderr
            assert b"127.0.0.1:1/api/models/o/r/tree/main" in text or b"127.0.0.1" in text, text
    assert b"hf:o names no repository" in kvasir("run", "-hf", "o", "-p", "x", code=2).stderr
    for command in ("bench", "probe"):
        text = kvasir(command, "-m", llama, code=2).stderr
        assert b"-m" in text and (b"sweep" in text)


def test_names_with_one_dash_are_no_letters(llama):
    """-fa is never -f with a file named a, -np never -n p, in any command."""
    names = sorted({n for kind in ("NOTHING", "MAYBE", "REFUSED", "REFUSED_BUT") for row, *_ in rows(kind) for n in row
                    if re.fullmatch(r"-\w\w+", n)} | {"-ctk", "-sys", "-cnv", "-hf"})
    assert len(names) > 40
    for command in COMMANDS:
        for name in names if command in ("tokenize", "bench") else ("-fa", "-np", "-ctk"):
            done = kvasir(command, name, "1", "--no-such-option", code=2)
            assert name.encode() in done.stderr or b"--no-such-option" in done.stderr
            assert b"wants a number" not in done.stderr and b"No such file" not in done.stderr
    # Letters with their argument in the same word stay what they are.
    assert kvasir_json("run", "-pabc", "-n6", "-c128", "-s7", llama, "--raw", "--ignore-eos")["ctx"] == 128
    # And so do values that look like options.
    assert kvasir_json("run", llama, "--raw", "-p", "-fa", "-n", "1")["prompt_tokens"] == 3
    assert b"KV" in kvasir("run", "--raw", "-n", "1", "-p", "x", "--", llama).stderr


def test_help_and_man_page_list_every_name():
    """Names of llama.cpp by which own options are known, and one name of each of the others."""
    shown = re.sub(r"\s+", " ", kvasir("run", "--help").stdout.decode())
    for name, long in (("-ctk", "--cache-type-k"), ("-sys", "--system"), ("-cnv", "--chat"), ("-st", "--single-turn"), ("-r", "--stop"),
                       ("-hf", "--hf-repo"), ("-ub", "--chunk"), ("-bf", "--file"), ("-sp", "--special"), ("-sysf", "--system-file")):
        assert re.search(rf"[,:] {name} is {long}[,.]", shown), name
    taken, refused = re.search(r"Taken, [^:]*: (.*?)\. Refused, [^:]*: (.*?)\. ", shown).groups()
    for kinds, text in ((("NOTHING", "MAYBE"), taken), (("REFUSED", "REFUSED_BUT"), refused)):
        listed = text.split(", ")
        for kind in kinds:
            for names, *_ in rows(kind):
                assert "--n-gpu-layers" in names or any(name in listed for name in names), names
    man = kvasir("--dump-docs", "man", "run").stdout.decode()
    assert "NAMES OF LLAMA.CPP" in man and "\\-ctk is \\-\\-cache\\-type\\-k" in man
    assert "llama.cpp's names" not in kvasir("probe", "--help").stdout.decode()
    # An option that a command has itself is not among those that it takes without effect.
    assert "-np" not in re.sub(r"\s+", " ", kvasir("serve", "--help").stdout.decode()).split("Taken,")[1].split(", ")


def test_names_of_a_server(llama):
    assert b"out of range" in kvasir("serve", llama, "-np", "0", code=2).stderr
    assert b"out of range" in kvasir("serve", llama, "--parallel", "10000", code=2).stderr
    assert b"--api-key-file" in kvasir("serve", llama, "--api-key", "secret", code=2).stderr
    assert b"secret" not in kvasir("serve", llama, "--api-key", "secret", code=2).stderr
    for name in ("--embedding", "--embeddings", "--reranking"):
        assert name.encode() in kvasir("serve", llama, name, code=2).stderr


def test_escapes(llama):
    def ids(*args):
        return kvasir_json("run", llama, "--raw", "--temp", "0", "-n", "3", "--ignore-eos", *args)

    for written, meant in (("a\\nb", "a\nb"), ("\\t\\\\\\\"\\'", "\t\\\"'"), ("\\x41b", "Ab"), ("\\q\\x4", "\\q\\x4"), ("a\\", "a\\"),
                           ("\\x00", "\\x00")):
        plain, escaped = ids("-p", meant), ids("-e", "-p", written)
        assert (plain["prompt_tokens"], plain["ids"]) == (escaped["prompt_tokens"], escaped["ids"]), written
    assert ids("-p", "a\\nb")["prompt_tokens"] == 5 - 1, "without it a backslash is one"


def test_single_turn(llama):
    done = kvasir("run", llama, "-cnv", "-st", "-p", "abc", "-n", "2", "--ignore-eos", input="more\nand more\n")
    assert done.stderr.count(b"generated 2 tokens") == 1


def test_json_and_chat(llama):
    for more in ([], ["-p", "x"]):
        text = kvasir("run", llama, "--json", "--chat", *more, code=2).stderr.decode()
        assert "--json" in text and "--chat" in text and "needs a prompt" not in text


# ---- slips ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("typed,meant", [("rnu", "run"), ("tokenise", "tokenize"), ("swep", "sweep"), ("Run", "run"), ("hlep", "help"),
                                         ("serv", "serve")])
def test_commands_that_are_nearly_right(typed, meant):
    for args in ([typed], ["help", typed]):
        text = kvasir(*args, code=2).stderr.decode()
        assert text.startswith(f"kvasir: there is no command {typed}; did you mean {meant}? ")


@pytest.mark.parametrize("typed", ["xyzzy", "", "x", "nonsense", "a" * 5000, "\x1b[31mrun", "smollm2"])
def test_commands_that_are_not(typed):
    text = kvasir(typed, code=2).stderr
    assert b"did you mean" not in text and b"kvasir help" in text and b"\x1b" not in text and len(text) < 600


@pytest.mark.parametrize("typed,meant", [("ls", "list"), ("delete", "rm"), ("download", "pull"), ("show", "inspect")])
def test_commands_by_the_names_that_others_give_them(typed, meant):
    assert f"no command {typed}; did you mean {meant}?" in kvasir(typed, code=2).stderr.decode()


def test_there_is_no_command_chat_but_there_is_a_chat():
    text = kvasir("chat", code=2).stderr.decode()
    assert "kvasir run MODEL" in text and "did you mean" not in text


def test_version_behind_a_command(llama):
    plain = kvasir("--version").stdout
    for command in COMMANDS:
        assert kvasir(command, "--version").stdout == plain
    assert kvasir("run", llama, "-p", "--version", "-n", "1").stdout != plain


@pytest.mark.parametrize("args,named", [
    (["-n", "x"], "-n:"), (["-nx"], "-n:"), (["--n-predict", "x"], "--n-predict:"), (["--n-predict=x"], "--n-predict:"),
    (["--predict", "x"], "--predict:"), (["-vnx"], "-n:"), (["-ub", "x"], "-ub:"), (["-ub99999"], "-ub 99999"), (["--temp", "q"], "--temp wants"),
    (["--temperature", "q"], "--temperature wants"), (["--temperature", ""], "--temperature wants"), (["-s", "9e9"], "-s wants"),
    (["--kv-memory", "q"], "--kv-memory wants")])
def test_errors_name_options_as_they_were_typed(llama, args, named):
    text = kvasir("run", llama, *args, "-p", "x", code=2).stderr.decode()
    assert text.startswith(f"kvasir run: {named}"), text


def test_a_value_behind_a_name_with_one_dash(llama):
    """-fa=on is no -f with a file of the name a=on, and -ngl99 no -n with gl99."""
    args = ["--raw", "-p", "abc", "--temp", "0", "-n", "3", "--ignore-eos", "--json"]
    plain = json.loads(kvasir("run", llama, *args).stdout)
    done = kvasir("run", llama, "-fa=on", "-ngl99", "-ngl=99", "-fa1", "-tb4", *args)
    assert json.loads(done.stdout)["ids"] == plain["ids"]
    for name in ("-fa", "-ngl", "-tb"):
        assert f"kvasir: {name}: no effect" in done.stderr.decode()
    assert json.loads(kvasir("run", llama, "-ctk=q8", "-ctv=q4", *args).stdout)["kv"]["type_k"] == "q8"
    assert b"-md: " in kvasir("run", llama, "-md=x", *args, code=2).stderr
    assert b"-cnv takes no argument" in kvasir("run", llama, "-cnv=1", *args, code=2).stderr
    assert b"-ub 99999 is out of range" in kvasir("run", llama, "-ub99999", *args, code=2).stderr
    # An argument of the command's own letters stays one.
    assert b"f1: No such file" in kvasir("run", llama, "-ff1", code=1).stderr
    assert json.loads(kvasir("run", llama, "-c256", *args).stdout)["ctx"] == 256


def test_one_is_not_many(llama):
    said = kvasir("run", llama, "--raw", "-p", "a", "-n", "1", "--ignore-eos", "-t", "1", "-v").stderr.decode()
    assert "prompt 1 token, " in said and "generated 1 token;" in said and ", 1 thread, " in said and "1 tokens" not in said


def test_a_model_or_an_option_first():
    assert b"kvasir run model.gguf" in kvasir("model.gguf", code=2).stderr
    assert b"kvasir run -m" in kvasir("-m", "model.gguf", code=2).stderr


@pytest.mark.parametrize("command,typed,meant", [
    ("run", "--temperatur", "--temperature"), ("run", "--temprature=0.5", "--temperature"), ("run", "--tpo-k", "--top-k"),
    ("run", "-temp", "--temp"), ("run", "-file", "--file"), ("run", "--predcit", "--predict"), ("run", "-ctx", "--ctx"),
    ("plan", "--want-ctxt", "--want-ctx"), ("pull", "--listt", "--list"), ("bench", "--secnds", "--seconds")])
def test_options_that_are_nearly_right(command, typed, meant):
    text = kvasir(command, typed, code=2).stderr.decode()
    assert f"there is no option {typed.split('=')[0]}; did you mean {meant}?" in text and f"kvasir {command} --help" in text


def test_options_that_are_not():
    for typed in ("--nonsense", "--x", "-q", "--", "--\x1b[31m", "--" + "a" * 3000):
        text = kvasir("run", "a.gguf", typed, "-p", "x", code=(2, 3)).stderr
        assert b"did you mean" not in text and b"\x1b" not in text
    text = kvasir("run", "a.gguf", "--depths", "1", code=2).stderr
    assert b"there is no option --depths here" in text and b"sweep" in text
    assert b"no option -q" in kvasir("run", "a.gguf", "-vq", code=2).stderr


# ---- numbers of tokens ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("text", ["4KB", "1mib", "64B", "0.5kb"])
def test_tokens_are_no_bytes(llama, text):
    for command, *args in (["run", "--ctx"], ["run", "-c"], ["run", "-n"], ["run", "-b"], ["serve", "-n"], ["plan", "--want-ctx"],
                           ["plan", "--prefix"], ["sweep", "--pp"], ["tune", "-d"], ["inspect", "-c"]):
        error = kvasir(command, llama, *args, text, code=2).stderr.decode()
        assert "number of bytes" in error and "no B" in error, (command, args)
    for command in ("sweep", "plan", "verify"):
        for words in (text, f"2K,{text}"):
            error = kvasir(command, llama, "--depths", words, code=2).stderr.decode()
            assert f"--depths: '{text}' is a number of bytes" in error, command


@pytest.mark.parametrize("text", ["1.5", "0.3K", "0x10", "inf", "nan", "", "K", "4KK", "1e400", "4 K"])
def test_what_is_no_number_of_tokens(llama, text):
    for args in (["-c", text], ["-n", text]):
        assert b"number of tokens" in kvasir("run", llama, *args, "-p", "x", code=2).stderr


def test_what_is_one(llama):
    assert kvasir_json("run", llama, "-p", "x", "-n", "1", "-c", "0.125K")["ctx"] == 128
    assert kvasir_json("run", llama, "-p", "x", "-n", "1", "-c", "1k", "--kv-memory", "64MB")["ctx"] == 1024
    assert kvasir_json("run", llama, "-p", "x", "-n", "0.0625K", "--ignore-eos", "-c", "128")["generated_tokens"] == 64
    assert b"out of range (-1 to 134217728)" in kvasir("run", llama, "-n", "-2", "-p", "x", code=2).stderr
    assert b"out of range" in kvasir("sweep", llama, "--depths", "-1", code=2).stderr


# ---- words that are no options --------------------------------------------------------------------------------------

def test_words_without_an_option_may_be_a_prompt(llama):
    for words in (["hello"], ["hello", "there"]):
        text = kvasir("run", llama, *words, code=2).stderr.decode()
        assert "'hello' was given too" in text and "-p 'TEXT'" in text
    assert "-p" not in kvasir("inspect", llama, "hello", code=2).stderr.decode().splitlines()[0]
    assert b"\x1b" not in kvasir("run", llama, "\x1b[31mred", code=2).stderr


@pytest.mark.parametrize("args,named", [
    (["-ctk", "q5_0"], "q5_0"), (["-ctv", "zz"], "zz"), (["--kv", "q5_0"], "q5_0"), (["--kv", "q8:zz"], "zz"), (["--kv", "zz:q8"], "zz"),
    (["--kv", "q8:q4:f16"], "q8:q4:f16"), (["-ctk", "q8", "-ctv", "q9"], "q9")])
def test_unknown_kv_types_are_named_as_they_were_given(llama, args, named):
    for command, more in (("run", ["-p", "x"]), ("plan", []), ("inspect", [])):
        text = kvasir(command, llama, *args, *more, code=2).stderr.decode()
        assert text.startswith(f"kvasir: KV type {named} is unknown; there are f32, f16, q8 and q4"), text
    text = kvasir("plan", llama, *args, "--for", "llama.cpp", code=2 if named not in ("q5_0",) else (0, 2)).stderr.decode()
    assert named == "q5_0" or (" is unknown; llama.cpp has f32, " in text and f"KV type {named.removeprefix('q8:')} " in text)


@pytest.mark.parametrize("command", ["run", "plan", "inspect", "eval"])
def test_a_pair_where_one_type_is_wanted(llama, command):
    more = {"run": ["-p", "x"], "eval": ["--ppl", SOURCE / "README.md"]}.get(command, [])
    for option in ("-ctk", "-ctv"):
        text = kvasir(command, llama, option, "q8:q4", *more, code=2).stderr.decode()
        assert f"{option} q8:q4: one type is wanted" in text and "--kv takes two" in text


def test_a_context_beyond_training_has_both_numbers(llama):
    text = kvasir("run", llama, "-c", "5000", "-p", "x", "-n", "1").stderr.decode()
    assert "a context of 5000 tokens is longer than the 4096 that the model was trained for" in text
    assert "longer than" not in kvasir("run", llama, "-c", "4096", "-p", "x", "-n", "1").stderr.decode()


@pytest.mark.parametrize("name", ["hf:", "hf:a", "hf:a@main", "hf:a:q4", "hf:/b", "hf:a/", "hf:a/b@", "hf:a/b:"])
def test_names_of_a_hub_that_lack_something(name):
    for command in ("pull", "plan"):
        text = kvasir(command, name, code=2).stderr.decode()
        assert text.startswith(f"kvasir: {name}") and ("missing" in text or "hf:OWNER/REPO[" in text)
