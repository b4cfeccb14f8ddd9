"""Nothing in a request is dropped in silence: it is done, refused, or named in X-Kvasir-Ignored. The cases serve-* were made
after public reports; they lie in tests/golden/faults with one model and template for all. Neighbours of them are made here."""
import json
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, SOURCE, TEMPLATE, environment, kvasir, tiny
from serving import (
    CHAT, COMPLETIONS, ENDLESS, EOS, GREEDY, NAME, Server, as_messages, delta_text, events_of, finish_of, refused, text_of)

GOLDEN = SOURCE / "tests/golden/faults"
CASES = ["serve-cors-preflight", "serve-developer-role", "serve-ignored-fields", "serve-null-content", "serve-template-kwargs",
         "serve-tool-arguments"]
USER = {"role": "user", "content": "Hi"}
IGNORED = "X-Kvasir-Ignored"


@pytest.mark.parametrize("name", CASES)
def test_case(name, tmp_path):
    """What run.sh prints is what is expected; a field may also be done instead of refused."""
    for source in (GOLDEN / "serve", GOLDEN / name):
        shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    done = subprocess.run(["sh", tmp_path / "run.sh"], capture_output=True, text=True, timeout=300, env=environment(KVASIR=BIN))
    wanted = [line for line in (tmp_path / "expected").read_text().splitlines() if line and not line.startswith("(")]
    got = [line for line in done.stdout.splitlines() if line]
    assert len(got) == len(wanted), done.stdout + done.stderr
    for w, g in zip(wanted, got):
        if w.startswith("{"):
            assert json.loads(g) == json.loads(w)
        else:
            assert g == w or name == "serve-ignored-fields" and re.fullmatch(w.split()[0] + ' 200 "completion_tokens":4', g)


# ---- what a template leaves out ---------------------------------------------------------------------------------------------

CHATML = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
STRICT = """{%- for m in messages -%}{%- if m.role not in ['system', 'user', 'assistant'] -%}{{ raise_exception('unknown role') }}
{%- endif -%}[{{ m.role }}]{{ m.content }}{%- endfor -%}"""
OF_DEVELOPERS = """{%- for m in messages -%}{%- if m.role == 'developer' -%}# Developer {{ m.content }}
{%- elif m.role == 'user' -%}# User {{ m.content }}{%- endif -%}{%- endfor -%}"""
TITLES = "{% for m in messages %}{{ m.role | title }}: {{ m.content }}\n{% endfor %}"
CALLS = """{%- for m in messages -%}[{{ m.role }}]{% if m.tool_calls %}{% for c in m.tool_calls -%}
SHOWN{%- endfor %}{% else %}{{ m.content }}{% endif %}{%- endfor -%}"""
FIRST_SYSTEM = (GOLDEN / "serve/chat.jinja").read_text()


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(template, *args):
        path = tmp_path / f"{len(servers)}.jinja"
        path.write_text(template)
        servers.append(Server("--ctx", "512", "--kv-memory", "8M", *args, template=path))
        return servers[-1]

    yield start
    for s in servers:
        s.stop()
        s.kill()


def rendered(s, messages, **more):
    return s.post("/apply-template", {"messages": messages, **more})["prompt"]


DEVELOPER = [{"role": "developer", "content": "Be brief."}, USER]


@pytest.mark.parametrize("template, wanted", [
    (FIRST_SYSTEM, "[SYS]Be brief.[/SYS][USER]Hi[/USER][BOT]"), (CHATML, "<|system|>Be brief.\n<|user|>Hi\n<|assistant|>"),
    (STRICT, "[system]Be brief.[user]Hi"), (OF_DEVELOPERS, "# Developer Be brief.# User Hi"),
    (TITLES, "System: Be brief.\nUser: Hi\n")], ids=["left out", "chatml", "refused", "known", "titles"])
def test_developer(serve, template, wanted):
    """The system's, where the template does not know the role; its own, where it does."""
    s = serve(template)
    assert rendered(s, DEVELOPER) == wanted
    body = {"messages": DEVELOPER, "max_tokens": 2, "temperature": 0}
    assert s.post(CHAT, body)["usage"]["prompt_tokens"] == len(s.post("/tokenize", {"content": wanted})["tokens"])


@pytest.mark.parametrize("template, messages, says", [
    (FIRST_SYSTEM, [USER, {"role": "critic", "content": "Boo."}], "messages[1], whose role is 'critic'"),
    (FIRST_SYSTEM, [USER, {"role": "system", "content": "Boo."}], "messages[1], whose role is 'system'"),
    (FIRST_SYSTEM, [USER, {"role": "developer", "content": "Boo."}], "messages[1], whose role is 'developer'"),
    (OF_DEVELOPERS, [{"role": "system", "content": "Boo."}, USER], "messages[0], whose role is 'system'"),
    (FIRST_SYSTEM, [USER, {"role": "\x1b[2Jx", "content": "Boo."}], "messages[1], whose role is '"),
    (CHATML, [USER, {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]}, USER],
     "the tool_calls of messages[1]"),
], ids=["role", "second system", "second developer", "system", "escape", "calls"])
def test_messages_that_are_left_out(serve, template, messages, says):
    s = serve(template)
    for path in ("/apply-template", CHAT):
        message = refused(s.ask("POST", path, {"messages": messages, "max_tokens": 1}), 400, "unsupported", "messages")
        assert says in message and "\x1b" not in message and "--template" in message


def test_empty_messages_are_not_left_out(serve):
    s = serve(FIRST_SYSTEM)
    assert rendered(s, [USER, {"role": "critic", "content": " \n"}, {"role": "critic", "content": None}]) == "[USER]Hi[/USER][BOT]"


def test_members_without_effect_are_named(serve):
    """A name, ids and the like: no reason to refuse, and not silent either."""
    s = serve(FIRST_SYSTEM)
    messages = [{**USER, "name": "ada"}, {"role": "assistant", "content": "Well.", "reasoning_content": "hm", "annotations": [],
                                         "refusal": None, "audio": {"id": "1"}}]
    answer = s.ask("POST", "/apply-template", {"messages": messages, "user": "me"})
    assert answer.json == {"prompt": "[USER]Hi[/USER][BOT]Well.[/BOT][BOT]"}
    assert set(answer.headers[IGNORED].split(", ")) == {"user", "messages.name", "messages.reasoning_content", "messages.audio"}
    assert IGNORED not in s.ask("POST", "/apply-template", {"messages": [USER]}).headers
    content = [{"role": "assistant", "content": "Let me see.", "tool_calls": [call('{"a": 1}')]}]
    s = serve(CALLS.replace("SHOWN", "{{ c.function.arguments | tojson }}"))
    answer = s.ask("POST", "/apply-template", {"messages": content})
    assert answer.json == {"prompt": '[assistant]{"a": 1}'} and answer.headers[IGNORED] == "messages.content"


def call(arguments, name="f"):
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize("shown, wanted", [
    ("{{ c.function.arguments | tojson }}", '[assistant]{"b": [1, 2.5, null], "a": "x"}'),
    ("{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }};{% endfor %}", "[assistant]b=[1, 2.5, None];a=x;"),
    ("{{ '<' + c.function.arguments + '>' }}", '[assistant]<{"b": [1, 2.5, null], "a": "x"}>'),
    ("{{ c.function.arguments }}", '[assistant]{"b": [1, 2.5, null], "a": "x"}'),
    ("{{ c.function.arguments if c.function.arguments is string else c.function.arguments | tojson }}",
     '[assistant]{"b": [1, 2.5, null], "a": "x"}')], ids=["tojson", "items", "added", "written", "either"])
def test_tool_arguments(serve, shown, wanted):
    """An object, but a text of JSON where only that gives JSON."""
    s = serve(CALLS.replace("SHOWN", shown))
    for arguments in ('{"b": [1, 2.5, null], "a": "x"}', {"b": [1, 2.5, None], "a": "x"}):
        assert rendered(s, [{"role": "assistant", "content": None, "tool_calls": [call(arguments)]}]) == wanted


OF_NULLS = """{%- for m in messages -%}[{{ m.role }}]{%- if m.content is none -%}{%- for c in m.tool_calls -%}
<{{ c.function.name + ' ' + c.function.arguments }}>{%- endfor -%}{%- else -%}{{ m.content }}{%- endif -%}{%- endfor -%}"""


@pytest.mark.parametrize("content", [{"content": None}, {"content": ""}, {}], ids=["null", "empty", "absent"])
@pytest.mark.parametrize("template, wanted", [
    (OF_NULLS, '[user]Hi[assistant]<f {"a": 1}>'),
    (OF_NULLS.replace("c.function.name + ' ' + c.function.arguments", "c.function.arguments | tojson"), '[user]Hi[assistant]<{"a": 1}>'),
    (CALLS.replace("SHOWN", "{{ m.content }} {{ c.function.arguments | tojson }}"), '[user]Hi[assistant] {"a": 1}')],
    ids=["texts", "objects", "no none"])
def test_calls_beside_no_text(serve, template, wanted, content):
    """Some templates (DeepSeek's) show calls only where the content is none; others would write None."""
    s = serve(template)
    assert rendered(s, [USER, {"role": "assistant", **content, "tool_calls": [call('{"a": 1}')]}]) == wanted
    said = [{"role": "assistant", "content": "Well.", "tool_calls": [call('{"a": 1}')]}]
    assert template is not OF_NULLS or s.ask("POST", CHAT, {"messages": said}).status == 400


def test_hostile_tool_arguments(serve):
    s = serve(CALLS.replace("SHOWN", "{{ c.function.name }}{{ c.function.arguments | tojson }}"))

    def ask(tool_calls):
        return s.ask("POST", "/apply-template", {"messages": [{"role": "assistant", "tool_calls": tool_calls}]})

    for arguments in ("", None, {}, "{}"):
        assert ask([call(arguments)]).json == {"prompt": "[assistant]f{}"}
    assert ask([call('{"a": "\\u0000"}'), call("{}", "g")]).json == {"prompt": '[assistant]f{"a": "\\u0000"}g{}'}
    for bad in ([call("{")], [call("[1]")], [call("3")], [call(5)], [call('{"a": 1} x')], [call("[" * 100000)], [5], [{}],
                [{"function": {}}], [{"function": {"name": 5}}], "x", {"a": 1}, 5):
        refused(ask(bad), 400, "invalid_value", "messages")
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    assert "tool_calls" in refused(s.ask("POST", CHAT, {"messages": [legacy]}), 400, "unsupported", "messages")
    assert ask([]).json == ask(None).json == {"prompt": "[assistant]"}


def test_texts_that_look_like_marks(serve):
    """What is asked may be anything, also what the server itself puts in place of texts."""
    s = serve(FIRST_SYSTEM)
    for text in ("Kvs0q Kvs1q", "Kvs99999999999999999999999q", "kvsrole", "Kvscutq"):
        assert rendered(s, as_messages(text)) == f"[USER]{text}[/USER][BOT]"
        assert rendered(s, as_messages(text), continue_final_message=True) == f"[USER]{text}"
        refused(s.ask("POST", CHAT, {"messages": [{"role": text, "content": "x"}]}), 400, "unsupported", "messages")


def test_many_messages(serve):
    s = serve(FIRST_SYSTEM)
    messages = [{"role": ("user", "assistant")[i % 2], "content": f"{i}"} for i in range(20000)]
    assert "[USER]19998[/USER]" in rendered(s, messages)
    messages[15000]["role"] = "nobody"
    assert "messages[15000]" in refused(s.ask("POST", CHAT, {"messages": messages}), 400, "unsupported", "messages")


# ---- variables of the template ------------------------------------------------------------------------------------------------

THINKING = "{{ messages[0].content }}|{{ enable_thinking }}|{{ reasoning_effort }}|{{ documents | tojson }}"


def test_template_variables(serve):
    s = serve(THINKING)
    assert rendered(s, [USER], chat_template_kwargs={"enable_thinking": False, "reasoning_effort": "low"},
                    documents=[{"text": "d"}]) == 'Hi|False|low|[{"text": "d"}]'
    assert rendered(s, [USER], reasoning_effort="high", documents=[], chat_template_kwargs={}) == "Hi||high|[]"
    assert rendered(s, [USER], reasoning_effort="high", chat_template_kwargs={"reasoning_effort": "low"},
                    documents=[]).startswith("Hi||low")
    for kwargs, code in (({"enable_thinkin": False}, "unsupported"), ({"content": 1}, "unsupported"), ({"": 1}, "unsupported"),
                         ({"range": 1}, "unsupported"), ({"\x1b[2J": 1}, "unsupported"), ({"messages": []}, "invalid_value"), ([1], "invalid_value"),
                         ("x", "invalid_value")):
        for path in ("/apply-template", CHAT, "/tokenize"):
            body = {"messages": [USER], "chat_template_kwargs": kwargs, "documents": []}
            assert "\x1b" not in refused(s.ask("POST", path, body), 400, code, "chat_template_kwargs")
    s = serve(CHATML)
    refused(s.ask("POST", CHAT, {"messages": [USER], "documents": [{"text": "x"}]}), 400, "unsupported", "documents")
    assert s.ask("POST", "/apply-template", {"messages": [USER], "reasoning_effort": "low"}).headers[IGNORED] == "reasoning_effort"
    assert "chat_template_kwargs" in refused(s.ask("POST", CHAT, {"messages": [USER], "enable_thinking": False}), 400, "unsupported")


def test_last_message_goes_on(serve):
    s = serve("{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}[/]{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}")
    messages = [USER, {"role": "assistant", "content": "Well, "}]
    assert rendered(s, messages, continue_final_message=True) == "[user]Hi[/][assistant]Well, "
    assert rendered(s, messages, continue_final_message=False) == "[user]Hi[/][assistant]Well,[/][assistant]"
    assert rendered(s, messages, add_generation_prompt=False) == "[user]Hi[/][assistant]Well,[/]"
    assert rendered(s, [USER, {"role": "assistant", "content": None}], continue_final_message=True) == "[user]Hi[/][assistant]"
    got = s.chat(messages, 12, continue_final_message=True, add_generation_prompt=False)
    assert text_of(got) == text_of(s.complete("[user]Hi[/][assistant]Well, ", 12))
    both = {"messages": messages, "continue_final_message": True, "add_generation_prompt": True}
    refused(s.ask("POST", CHAT, both), 400, "invalid_value", "continue_final_message")
    calls = {"messages": [USER, {"role": "assistant", "tool_calls": [call("{}")]}], "continue_final_message": True}
    assert s.ask("POST", CHAT, calls).status == 400


# ---- fields -------------------------------------------------------------------------------------------------------------------

REFUSED = [{"grammar": 'root ::= "a"'}, {"json_schema": {}}, {"json_schema": {"type": "object"}}, {"guided_json": {}},
           {"guided_regex": "a"}, {"guided_choice": ["a"]}, {"guided_grammar": "a"}, {"guided_never_heard_of": 1},
           {"structured_outputs": {"choice": ["a"]}}, {"regex": "a"}, {"ebnf": "a"}, {"modalities": ["text", "audio"]},
           {"modalities": ["image"]}, {"audio": {"voice": "x"}}, {"stop_token_ids": [5]}, {"include_stop_str_in_output": True},
           {"allowed_token_ids": [5]}, {"bad_words": ["x"]}, {"use_beam_search": True}, {"truncate_prompt_tokens": 5},
           {"mirostat": 2}, {"top_n_sigma": 1.5}, {"dynatemp_range": 0.5}, {"samplers": ["top_k"]}, {"t_max_predict_ms": 100},
           {"prompt_logprobs": 0}, {"n_probs": 3}, {"chat_template": "x"}, {"lora": [{"id": 0}]}, {"thinking_token_budget": 10},
           {"dry_multiplier": 1, "dry_sequence_breakers": ["x"]}]
NEUTRAL = {"grammar": "", "stop_token_ids": [], "include_stop_str_in_output": False, "bad_words": [], "use_beam_search": False,
           "mirostat": 0, "top_n_sigma": -1, "dynatemp_range": 0, "samplers": [], "t_max_predict_ms": -1, "n_probs": 0, "lora": [],
           "guided_json": None, "json_schema": None, "modalities": ["text"], "stream_options": {"include_obfuscation": False},
           "skip_special_tokens": True, "min_tokens": 0, "ignore_eos": False, "cache_prompt": True, "store": False, "stop": "",
           "thinking_budget_tokens": -1, "function_call": "none"}


@pytest.mark.parametrize("change", REFUSED, ids=json.dumps)
def test_refused_fields(server, change):
    name = list(change)[-1]
    for path, body in ((CHAT, {"messages": [USER]}), (COMPLETIONS, {"prompt": "x"})):
        message = refused(server.ask("POST", path, {**body, "max_tokens": 4, **change}), 400, "unsupported", name)
        assert name in message and ("; " in message or ": " in message), "it says what to do"


def test_all_fields_are_documented():
    """The tables of fields in the source against the page."""
    source, page = (SOURCE / "src/server/openai/supported.c").read_text(), (SOURCE / "docs/serve.md").read_text()
    tables = source[source.index("static const char *const done[]"):source.index("enum { IS_FALSE")]
    tables += source[source.index("static const refused_field refused[]"):source.index("static int is_neutral")]
    names = set(re.findall(r'"([a-z_]+)"', re.sub(r"/\*.*?\*/", "", tables))) - {"use stop"}
    missing = {name for name in names if not re.search(rf"`{name}\b", page)}
    assert len(names) > 60 and not missing


def test_neutral_values(server):
    answer = server.ask("POST", CHAT, {"messages": [USER], "max_tokens": 4, "temperature": 0, **NEUTRAL})
    assert answer.status == 200 and IGNORED not in answer.headers and text_of(answer.json) == text_of(server.chat("Hi", 4))


def test_ignored_fields(tmp_path):
    """Named in the header, of streams too, and in the access log; whatever the names are, the header stays one."""
    fields = {"user": "secret", "metadata": {"a": 1}, "cache_prompt": False, "reasoning_effort": "low", "service_tier": "auto",
              "parallel_tool_calls": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True, "include_obfuscation": True}}
    names = "user, metadata, cache_prompt, reasoning_effort, service_tier, parallel_tool_calls".split(", ")
    names += ["stream_options.continuous_usage_stats", "stream_options.include_obfuscation"]
    body = {"max_tokens": 2, "temperature": 0, **fields}
    with Server("--access-log", tmp_path / "log") as s:
        with s.stream(CHAT, {"messages": [USER], **body}) as stream:
            assert set(stream.headers[IGNORED].split(", ")) == set(names)
            assert events_of(stream)[-1]["usage"]["completion_tokens"] <= 2
        answer = s.ask("POST", COMPLETIONS, {"prompt": "x", **body, "messages": [USER]})
        assert set(answer.headers[IGNORED].split(", ")) == {*names, "messages"}
        hostile = {"a\r\nX-Evil: 1": 1, "naïve": 1, "y" * 5000: 1, "a, b": 1, **{f"field_{i}": 1 for i in range(500)}}
        answer = s.ask("POST", COMPLETIONS, {"prompt": "x", "max_tokens": 1, **hostile})
        assert answer.status == 200 and "X-Evil" not in answer.headers
        assert re.fullmatch(r"[\w?.,: -]+, \.\.\.", answer.headers[IGNORED]) and len(answer.headers[IGNORED]) < 600
        assert IGNORED not in s.ask("POST", COMPLETIONS, {"prompt": "x", "max_tokens": 1}).headers
        answer = s.ask("POST", COMPLETIONS, {"prompt": "x", "user": "u", "max_tokens": 1}, {"Origin": "http://localhost:1"})
        assert IGNORED in answer.headers["Access-Control-Expose-Headers"], "pages may read it"
    log = [json.loads(line)["ignored"] for line in (tmp_path / "log").read_text().splitlines()]
    assert set(log[0].split(", ")) == set(names) and log[3] == "" and log[4] == "user"
    assert "secret" not in (tmp_path / "log").read_text()


def test_limit_by_any_name(server, small):
    for name in ("n_predict", "max_tokens", "max_completion_tokens"):
        got = server.post(CHAT, {"messages": [USER], "temperature": 0, "logit_bias": ENDLESS, name: 3})
        assert got["usage"]["completion_tokens"] == 3
        got = server.post(COMPLETIONS, {"prompt": "x", name: 0})
        assert got["usage"]["completion_tokens"] == 0 and text_of(got) == "" and finish_of(got) == "length"
        assert got["timings"]["ttft_ms"] > 0
        got = small.post(COMPLETIONS, {"prompt": "x", "logit_bias": ENDLESS, name: -1})
        assert got["usage"]["completion_tokens"] == 7, "the server's own limit"
    server.post(COMPLETIONS, {"prompt": "x", "max_tokens": 2, "n_predict": 2})
    with server.stream(CHAT, {"messages": [USER], "max_tokens": 0}) as stream:
        assert "".join(map(delta_text, events_of(stream))) == ""


def test_end_tokens_are_masked(server):
    """min_tokens and ignore_eos, also against a bias that wants the end."""
    want_end = {str(EOS): 100}
    assert server.complete("x", 9, logit_bias=want_end)["usage"]["completion_tokens"] == 1
    for least, n in ((1, 2), (5, 6), (9, 9), (50, 9)):
        got = server.complete("x", 9, logit_bias=want_end, min_tokens=least)
        assert got["usage"]["completion_tokens"] == n and finish_of(got) == ("stop" if n < 9 else "length")
    got = server.complete("x", 9, logit_bias=want_end, ignore_eos=True)
    assert got["usage"]["completion_tokens"] == 9 and finish_of(got) == "length"
    assert text_of(got) == text_of(server.complete("x", 9, logit_bias={str(EOS): -100}))
    got = server.complete("x", 9, logit_bias=want_end, min_tokens=3, temperature=1.5, seed=3)
    assert got["usage"]["completion_tokens"] == 4, "drawn, too"


@pytest.mark.parametrize("fields, options", [
    ({"repetition_penalty": 4}, ["--repeat-penalty", 4]), ({"repeat_penalty": 4, "repeat_last_n": 2}, ["--repeat-penalty", 4, "--repeat-last-n", 2]),
    ({"repeat_penalty": 4, "repeat_last_n": 0}, []), ({"typical_p": 0.2}, ["--typical", 0.2]),
    ({"dry_multiplier": 3, "dry_base": 2, "dry_allowed_length": 1}, ["--dry-multiplier", 3, "--dry-base", 2, "--dry-allowed-length", 1]),
    ({"dry_multiplier": 3, "dry_allowed_length": 1, "dry_penalty_last_n": 4}, ["--dry-multiplier", 3, "--dry-allowed-length", 1, "--dry-last-n", 4]),
    ({"dry_multiplier": 3, "dry_allowed_length": 1, "dry_penalty_last_n": 0}, []),
    ({"xtc_probability": 1, "xtc_threshold": 0.01}, ["--xtc-probability", 1, "--xtc-threshold", 0.01])], ids=json.dumps)
def test_sampling_of_peers(server, fields, options):
    plain = ["--temp", 1, "--seed", 3, "--top-k", 0, "--top-p", 1, "--min-p", 0, "--logit-bias", f"{EOS}=-100"]
    wanted = kvasir("run", tiny(NAME), "--raw", "-p", "abcabcabc", "-n", 40, *plain, *options, "--json").stdout
    request = {"temperature": 1, "seed": 3, "top_k": 0, "top_p": 1, "min_p": 0, "logit_bias": {str(EOS): -100}, **fields}
    got = text_of(server.complete("abcabcabc", 40, **request))
    assert got == json.loads(wanted)["text"]
    base = {k: v for k, v in request.items() if k not in fields}
    assert (got == text_of(server.complete("abcabcabc", 40, **base))) == (not options), "it has an effect"


def test_special_tokens(server):
    said = {"logit_bias": {str(EOS - 1): 100}, "ignore_eos": True}
    hidden, shown = (text_of(server.complete("x", 2, **said, skip_special_tokens=skip)) for skip in (True, False))
    control = server.post("/detokenize", {"tokens": [EOS - 1]})["content"]
    assert (hidden, shown) == ("", 2 * control) and control


def test_seeds_of_64_bits(server):
    def text(seed):
        return server.complete("x", 30, temperature=2, seed=seed)["choices"]
    assert text(2**64 - 1) == text(-1) != text(2**64 - 2) == text(-2)
    assert text(2**63) == text(-2**63)
    refused(server.ask("POST", COMPLETIONS, {"prompt": "x", "seed": 2**64}), 400)


def test_stops_of_nothing(server):
    plain = text_of(server.complete("hello", 12, logit_bias=ENDLESS))
    assert text_of(server.complete("hello", 12, logit_bias=ENDLESS, stop=["", plain[5:8], ""])) == plain[:plain.index(plain[5:8])]
    assert text_of(server.complete("hello", 12, logit_bias=ENDLESS, stop=[""] * 40)) == plain


def test_list_of_one_prompt(server):
    ids = server.post("/tokenize", {"content": "the river"})["tokens"]
    assert text_of(server.complete([ids])) == text_of(server.complete(ids)) == text_of(server.complete(["the river"]))
    for prompt in ([ids, ids], ["a", "b"], [ids, "a"]):
        refused(server.ask("POST", COMPLETIONS, {"prompt": prompt}), 400, "unsupported", "prompt")
    for prompt in ([[]], [[[1]]], [["a"]], [[-1]], [["a", "b"]]):
        refused(server.ask("POST", COMPLETIONS, {"prompt": prompt}), 400, "invalid_value", "prompt")


def test_overflow_says_what_clients_look_for(small):
    """LangChain and litellm know an overflow by these words."""
    message = refused(small.ask("POST", COMPLETIONS, {"prompt": [97] * 65}), 400, "context_length_exceeded", "prompt")
    assert "prompt is too long" in message and "this model's maximum context length is 64 tokens" in message and "65" in message


# ---- endpoints ----------------------------------------------------------------------------------------------------------------

def test_names_of_vllm(server):
    content = server.post("/tokenize", {"content": "hello there"})
    assert set(content) == {"tokens"}
    prompt = server.post("/tokenize", {"prompt": "hello there", "add_special_tokens": False, "model": NAME})
    assert prompt == {"tokens": content["tokens"], "count": len(content["tokens"]), "max_model_len": 4096}
    chat = server.post("/tokenize", {"messages": [USER]})
    assert chat["tokens"] == server.post("/tokenize", {"content": "<user>Hi</user>\n<assistant>"})["tokens"]
    assert server.post("/detokenize", {"tokens": content["tokens"], "model": NAME})["prompt"] == "hello there"
    for body, param in (({"prompt": 5}, "prompt"), ({"prompt": "a", "content": "b"}, "prompt"), ({"messages": []}, "messages"),
                        ({"prompt": "a", "add_special_tokens": 1}, "add_special_tokens"), ({"content": "a", "with_pieces": True}, "with_pieces")):
        refused(server.ask("POST", "/tokenize", body), 400, None, param)
    for path, body in (("/tokenize", {"prompt": "a"}), ("/detokenize", {"tokens": [1]}), ("/apply-template", {"messages": [USER]})):
        refused(server.ask("POST", path, {**body, "model": "other"}), 404, "model_not_found", "model")
        assert server.ask("POST", path, {**body, "other": 1}).headers[IGNORED] == "other"


def test_beginnings_of_prompts(tmp_path):
    """vLLM's prompt gets BOS unless told otherwise, llama.cpp's content does not."""
    data = bytearray(Path(tiny(NAME)).read_bytes())
    key = b"tokenizer.ggml.add_bos_token"
    data[data.index(key) + len(key) + 4] = 1
    (tmp_path / "bos.gguf").write_bytes(data)
    with Server(model=tmp_path / "bos.gguf", template=TEMPLATE) as s:
        bare = s.post("/tokenize", {"content": "a"})["tokens"]
        whole = s.post("/tokenize", {"prompt": "a"})["tokens"]
        assert len(whole) > len(bare) and whole[-len(bare):] == bare
        assert s.post("/tokenize", {"prompt": "a", "add_special_tokens": False})["tokens"] == bare
        assert s.post("/tokenize", {"content": "a", "add_special": True})["tokens"] == whole
        for more, n in (({}, len(whole)), ({"add_special_tokens": False}, len(bare))):
            assert s.complete("a", 1, **more)["usage"]["prompt_tokens"] == n


def test_one_model(server):
    listed = server.get("/v1/models").json["data"]
    assert server.get(f"/v1/models/{NAME}").json == listed[0]
    assert NAME in refused(server.ask("GET", "/v1/models/gpt-9"), 404, "model_not_found", "model")
    for path in ("/v1/models/%00", "/v1/models/%ff", "/v1/models/" + "x" * 3000, f"/v1/models/{NAME}%00", "/v1/models/%1b[2J"):
        refused(server.ask("GET", path), 404, "model_not_found")
    refused(server.ask("GET", "/v1/models/"), 404, "not_found")
    refused(server.ask("DELETE", f"/v1/models/{NAME}"), 405)


def test_several_names():
    with Server("--alias", "first", "--alias", "org/second", "-a", "third") as s:
        assert [m["id"] for m in s.get("/v1/models").json["data"]] == ["first", "org/second", "third"]
        for name in ("first", "org/second", "third"):
            assert s.complete("x", 1, model=name)["model"] == "first"
        for path in ("org/second", "org%2Fsecond"):
            assert s.get(f"/v1/models/{path}").json["id"] == "org/second"
        message = refused(s.ask("POST", COMPLETIONS, {"prompt": "x", "model": "dummy"}), 404, "model_not_found")
        assert all(name in message for name in ("first", "org/second", "third"))
    kvasir("serve", tiny(NAME), "--port", "0", "--alias", "a", "--alias", "", code=2)


def test_any_name():
    """Hugging Face's client sends "dummy"."""
    with Server("--any-model", "--alias", "mine") as s:
        for name in ("dummy", "gpt-9", "mine", ""):
            assert s.complete("x", 1, model=name)["model"] == "mine"
        assert s.get("/v1/models/dummy").json["id"] == "mine"
        refused(s.ask("POST", COMPLETIONS, {"prompt": "x", "model": 5}), 400, "invalid_value", "model")


def test_nothing_there_says_what_there_is(server):
    for path in ("/nope", "/v1/embeddings", "/v1/responses"):
        message = refused(server.ask("POST", path, {}), 404, "not_found")
        for there in ("POST /v1/chat/completions", "GET /v1/models", "GET /v1/models/NAME", "POST /apply-template", "GET /health"):
            assert there in message


def whole(server, data):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
        s.sendall(data)
        got = b""
        while piece := s.recv(65536):
            got += piece
    return got


@pytest.mark.parametrize("path, status", [("/health", 200), ("/v1/models", 200), ("/metrics", 200), ("/nope", 404), (CHAT, 405)])
def test_head(server, path, status):
    """As GET, without the body, which would be taken for the next answer."""
    data = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    head, _, body = whole(server, data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % status) and body == b""
    length = re.search(rb"(?i)content-length: (\d+)", head)[1]
    if path == "/health":
        assert int(length) == len(server.get(path).body) and len(re.findall(rb"(?i)content-length", head)) == 1
    assert int(length) > 0
    connection = server.connection()
    for method in ("HEAD", "GET", "HEAD", "GET"):
        connection.request(method, "/health")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read() == (b"" if method == "HEAD" else b'{"status":"ok"}\n')
    connection.close()


def test_health_in_http_10(server):
    assert whole(server, b"GET /health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200")
    assert whole(server, b"HEAD /health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200")
    assert server.raw(b"GET /health HTTP/1.0\r\nHost: example.com\r\n\r\n") == 403
    for path in ("/v1/models", "/metrics", "/health/x", "//health"):
        assert server.raw(f"GET {path} HTTP/1.0\r\n\r\n".encode()) == 400
    assert server.raw(b"GET /health HTTP/1.0\r\nHost: localhost\r\nHost: localhost\r\n\r\n") == 400


@pytest.mark.parametrize("origin", ["http://localhost:5173", "https://app.example"])
def test_preflight(server, origin):
    asked = "authorization,content-type,x-stainless-arch,x-stainless-retry-count, X-Own_1"
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked}
    answer = server.ask("OPTIONS", CHAT, headers=headers)
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert answer.status == 204 and all(name.strip().lower() in allowed for name in asked.split(","))
    for bad in ("x\tq: 1", 'x"y', "a;b", "x" * 5000, ""):
        answer = server.ask("OPTIONS", CHAT, headers={**headers, "Access-Control-Request-Headers": bad})
        assert answer.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type, x-api-key"
    refused(server.ask("OPTIONS", CHAT, headers={**headers, "Origin": "http://evil.example"}), 403, "origin_not_allowed")


def test_stop_texts_that_are_too_long(server):
    """As long as the library takes them; one byte more names the field, and is no fault of the server."""
    for stop, code in (("a" * 65536, 200), ("a" * 65537, 400), (["a" * 40000, "b" * 40000], 400)):
        answer = server.ask("POST", COMPLETIONS, {"prompt": "abc", "max_tokens": 1, "stop": stop})
        assert answer.status == code
        if code == 400:
            assert answer.json["error"]["param"] == "stop" and "65536" in answer.json["error"]["message"]


@pytest.mark.parametrize("value, shown", [(2**40, str(2**40)), (-5, "-5"), (1.5, "1.5"), ("x", "x"), (None, "null")])
def test_what_is_no_id_is_named_as_it_is(server, value, shown):
    answer = server.ask("POST", "/detokenize", {"tokens": [97, value]})
    assert answer.status == 400
    message = answer.json["error"]["message"]
    assert "entry 1 of tokens is" in message and shown in message
