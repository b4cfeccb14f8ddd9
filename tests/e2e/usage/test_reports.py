"""The pages of kvasir sweep and verify: what they say first, that hostile names stay text, what is folded, colours; and, where
there is a Chromium, how they look on a phone."""
import datetime
import json
import re
import struct
from html.parser import HTMLParser
from pathlib import Path

import pytest

from browser import Browser, chromium
from conftest import kvasir, kvasir_json
from test_sweep import SMALL
from test_verify import FAST, profile

VOID = {"meta", "path", "rect", "br"}
HOSTILE = '</title><script>alert(1)</script> "q" \'&amp; <img src=http://evil.example/x onerror=1>\x1b[31m\x07\u202e\udcff'


class Element:
    def __init__(self, tag, attributes, parent):
        self.tag, self.attributes, self.parent, self.children = tag, dict(attributes), parent, []

    def text(self):
        return "".join(c if isinstance(c, str) else c.text() for c in self.children)

    def all(self, *tags):
        """Elements below, in order."""
        for c in self.children:
            if isinstance(c, Element):
                if c.tag in tags or not tags:
                    yield c
                yield from c.all(*tags)


class Tree(HTMLParser):
    """The page's elements; it complains about tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.root = self.at = Element("", {}, None)
        self.feed(text)
        assert self.at is self.root, f"<{self.at.tag}> is not closed"

    def handle_starttag(self, tag, attributes):
        child = Element(tag, attributes, self.at)
        self.at.children.append(child)
        if tag not in VOID:
            self.at = child

    def handle_startendtag(self, tag, attributes):
        self.at.children.append(Element(tag, attributes, self.at))

    def handle_endtag(self, tag):
        assert tag == self.at.tag, f"</{tag}> within <{self.at.tag}>"
        self.at = self.at.parent

    def handle_data(self, data):
        self.at.children.append(data)


def read(path):
    return Tree(path.read_text(encoding="utf-8")).root


def verdict(root):
    return next(e for e in root.all("p") if "verdict" in e.attributes["class"]).text()


def facts(root):
    return dict(zip((e.text() for e in root.all("dt")), (e.text() for e in root.all("dd")), strict=True))


def renamed(model, path, name):
    """A copy of the model with another name. What is behind the name moves by a multiple of the alignment."""
    raw, key = Path(model).read_bytes(), b"general.name" + struct.pack("<I", 8)
    at = raw.index(key) + len(key)
    n, = struct.unpack("<Q", raw[at:at + 8])
    name = name.encode(errors="surrogateescape")
    name += b"x" * ((n - len(name)) % 32)
    path.write_bytes(raw[:at] + struct.pack("<Q", len(name)) + name + raw[at + 8 + n:])
    return path


def sweep_page(model, path, *args):
    kvasir("sweep", model, *SMALL, *args, "--html", path)
    return read(path)


def verify_page(model, path, *args, code=0):
    kvasir("verify", model, *FAST, *args, "--html", path, code=code)
    return read(path)


# ---- what every page has ------------------------------------------------------------------------------------------

def points(svg):
    return [e for e in svg.all("g") if e.attributes.get("class") == "point"]


def check_page(root, says):
    """Verdict, date and machine before all else; headings, tables and drawings for those who do not see them."""
    html = next(root.all("html"))
    assert html.attributes["lang"] == "en"
    metas = [m.attributes for m in root.all("meta")]
    assert any(m.get("name") == "viewport" and "width=device-width" in m["content"] for m in metas)
    assert any(m.get("charset") == "utf-8" for m in metas)
    assert next(root.all("title")).text().endswith(": " + says)
    main = [e for e in next(root.all("main")).children if isinstance(e, Element)]
    assert [e.tag for e in main[:3]] == ["h1", "p", "dl"] and main[0].text().endswith(": " + says)
    assert re.fullmatch(r"\S.*\.", verdict(root)), "a sentence"
    known = facts(root)
    assert list(known)[:2] == ["date", "machine"]
    when = next(root.all("time"))
    made = datetime.datetime.fromisoformat(when.attributes["datetime"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - made).total_seconds()) < 3600
    assert known["date"] == f"{made:%Y-%m-%d %H:%M} UTC"
    assert re.search(r"; 1 thread on \d+ usable cores?; [\d.]+ [GT]iB of memory", known["machine"])
    levels = [int(e.tag[1]) for e in root.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b <= a + 1 for a, b in zip(levels, levels[1:]))
    heads = list(root.all("th"))
    assert heads and all(e.attributes["scope"] == ("col" if e.parent.parent.tag == "thead" else "row") for e in heads)
    for box in (e.parent for e in root.all("table")):
        assert box.attributes["class"] == "scroll" and box.attributes["tabindex"] == "0" and box.attributes["aria-label"]
    ids = [e.attributes["id"] for e in root.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    drawings = list(root.all("svg"))
    for svg in drawings:
        first = [e for e in svg.children if isinstance(e, Element)][:2]
        assert svg.attributes["role"] == "img" and [e.tag for e in first] == ["title", "desc"]
        assert svg.attributes["aria-labelledby"].split() == [e.attributes["id"] for e in first]
        assert all(e.text().strip() for e in first) and points(svg)
    assert drawings and main.index(next(e for e in main if e.attributes.get("class") == "charts")) < main.index(
        next(e for e in main if e.text() in ("All rows", "All checks"))), "charts, then tables"
    check_alone(root)


def check_alone(root):
    """Nothing else is loaded, and nothing runs."""
    for e in root.all():
        assert e.tag not in ("script", "link", "img", "iframe", "object", "base", "form", "a"), e.tag
        for key, v in e.attributes.items():
            assert not key.startswith("on") and key not in ("src", "href", "data", "action", "style"), (e.tag, key)
            assert "url(" not in v and ("//" not in v or key == "xmlns"), (e.tag, key, v)
    styles = "".join(e.text() for e in root.all("style"))
    assert styles and "url(" not in styles and "@import" not in styles and "//" not in styles


def test_sweep_page(llama, tmp_path):
    root = sweep_page(llama, tmp_path / "x.html", "--depths", "0,64", "--kv", "f16,q8")
    check_page(root, "speed as the context fills")
    assert "read at " in facts(root)["machine"]
    shapes = [{p.attributes["d"] for g in points(svg) for p in g.all("path")} for svg in root.all("svg")]
    assert all(len(s) == 2 for s in shapes), "points of two lines differ in shape too"
    assert re.search(r"f16: [\d,.]+ at 0, [\d,.]+ at 64\.", next(root.all("desc")).text())


def test_verify_page(llama, tmp_path):
    root = verify_page(llama, tmp_path / "x.html", "--steps", "kv,memory,speed", code=(0, 5))
    check_page(root, "predicted and measured")
    assert [e.text() for e in root.all("h3")] == ["KV cache", "Memory", "Speed"]


# ---- the verdict --------------------------------------------------------------------------------------------------

def resumed(llama, tmp_path, rates, *args, spread=0.01):
    """The page of a sweep in which these speeds had been measured, by type and depth."""
    kept = tmp_path / "kept.json"
    types = list(dict.fromkeys(t for t, _ in rates))
    depths = ",".join(sorted({str(d) for _, d in rates}, key=int))
    document = kvasir_json("sweep", llama, *SMALL, "--depths", depths, "--kv", ",".join(types), "--out", kept, *args)
    for r in document["rows"]:
        if r["error"] is None:
            r["decode_tps"] = rates[r["kv_k"], r["depth"]]
            r["decode_ms_p50"] = 1000 / r["decode_tps"]
            r["decode_ms_p95"] = (1 + spread) * r["decode_ms_p50"]
    kept.write_text(json.dumps(document))
    kvasir("sweep", llama, "--resume", kept, "--html", tmp_path / "x.html", *args)
    return verdict(read(tmp_path / "x.html"))


@pytest.mark.parametrize("rates, says", [
    ({("f16", 0): 10, ("f16", 1024): 10, ("q8", 0): 10, ("q8", 1024): 12.9},
     "q8 decodes 1.29 times as fast as f16 at 1,024 tokens; every depth fits."),
    ({("f16", 0): 10, ("f16", 64): 15, ("q8", 0): 10, ("q8", 64): 7.5, ("q4", 0): 9, ("q4", 64): 10},
     "f16 decodes 1.50 times as fast as q4 at 64 tokens; every depth fits."),
    ({("f16", 0): 10, ("q8", 0): 10}, "f16 decodes as fast as q8 at 0 tokens; every depth fits."),
    ({("q8", 0): 50, ("q8", 64): 25.04}, "q8 decodes 25.0 tokens per second at 64 tokens, 50% of its speed at 0; every depth fits."),
    ({("q8", 0): 2500}, "q8 decodes 2,500 tokens per second at 0 tokens; every depth fits."),
])
def test_sweep_verdict(rates, says, llama, tmp_path):
    assert resumed(llama, tmp_path, rates) == says


@pytest.mark.parametrize("faster, spread, is_clear", [(1.05, 0.15, False), (1.14, 0.15, False), (1.16, 0.15, True), (1.05, 0, True)])
def test_sweep_verdict_within_the_spread(faster, spread, is_clear, llama, tmp_path):
    """A difference that is smaller than that between steps of one type is not what the page begins with."""
    says = resumed(llama, tmp_path, {("f16", 0): 10, ("q8", 0): 10 * faster}, spread=spread)
    if is_clear:
        assert says == f"q8 decodes {faster:.2f} times as fast as f16 at 0 tokens; every depth fits."
    else:
        assert says == (f"No clear difference: the spread is wider. At 0 tokens q8 decodes {100 * (faster - 1):.0f}% faster than f16, and "
                        "the steps of one type lie 15% apart (p50 to p95); every depth fits.")


def test_sweep_verdict_without_room(llama, tmp_path):
    """The budget of 256 KiB holds 512 tokens of f16 and 760 of q8: the deepest that both have decides, and what lacks is said."""
    rates = {(t, d): 10 + (t == "q8") for t in ("f16", "q8") for d in (0, 128, 600, 2048)}
    says = resumed(llama, tmp_path, rates, "--kv-memory", "256K")
    assert says == ("q8 decodes 1.10 times as fast as f16 at 128 tokens; 3 of 8 rows do not fit the memory: f16 from 600, "
                    "q8 at 2,048 tokens.")
    kvasir("sweep", llama, *SMALL, "--depths", "2k", "--kv-memory", "256K", "--html", tmp_path / "x.html", code=4)
    assert verdict(read(tmp_path / "x.html")) == "Nothing was measured; 1 of 1 rows does not fit the memory: f16 at 2,048 tokens."


def test_verify_verdict(llama, tmp_path):
    d = kvasir_json("verify", llama, *FAST, "--steps", "kv,memory", "--html", tmp_path / "x.html")
    root = read(tmp_path / "x.html")
    assert verdict(root) == f"All {len(d['checks'])} checks hold." and not list(root.all("ul"))
    assert next(root.all("p")).attributes["class"] == "verdict good"


def test_verify_verdict_of_failures(llama, tmp_path):
    """The failed ones are named first, and again with their numbers before any chart."""
    level = kvasir_json("verify", llama, *FAST, "--steps", "kv")["machine"]["level"]
    machine = profile(tmp_path, level, 9e14)
    d = kvasir_json("verify", llama, *FAST, "--steps", "speed", "--depths", "256", "--machine", machine, "--html",
                    tmp_path / "x.html", code=5)
    root = read(tmp_path / "x.html")
    judged = [c for c in d["checks"] if c["ok"] is not None]
    failed = [c["name"] for c in judged if not c["ok"]]
    more = {0: ".", 1: "; and 1 other."}.get(max(len(failed) - 5, 0), f"; and {len(failed) - 5} others.")
    assert verdict(root).startswith(f"{len(failed)} of {len(judged)} checks failed: {'; '.join(failed[:5])}{more}")
    assert next(root.all("p")).attributes["class"] == "verdict bad"
    named = [e.text() for e in next(root.all("ul")).all("li")]
    assert len(named) == len(failed) and all(n.startswith(f"speed: {f}: measured ") for n, f in zip(named, failed))
    assert "allowed at most" in named[1] and "not slower than" in named[1]
    rows = {e.parent.children[0].text(): e.text() for e in root.all("td") if e.attributes.get("class") in ("ok", "failed")}
    assert {k for k, v in rows.items() if v == "FAILED"} == set(failed) and len(rows) == len(judged)


def test_verify_says_what_is_missing(llama, tmp_path):
    """Two sequences do not fit where one does."""
    d = kvasir_json("verify", llama, *FAST, "--steps", "kv,speed", "--depths", "1k", "--ctx", "1088", "--kv-memory", "600K",
                    "--html", tmp_path / "x.html", code=4)
    assert d["missing"]
    root = read(tmp_path / "x.html")
    assert f"Not measured: {'; '.join(d['missing'])}." in verdict(root)
    assert next(root.all("p")).attributes["class"] == "verdict bad"


# ---- hostile text -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("command", ["sweep", "verify"])
def test_hostile_names(command, llama, tmp_path):
    """A model's name, a file's and a machine's stay text, whatever they hold; and what is no UTF-8 breaks nothing."""
    model = renamed(llama, tmp_path / "<b>&lt;\xff.gguf", HOSTILE)
    if command == "sweep":
        root = sweep_page(model, tmp_path / "x.html", "--depths", "0")
    else:
        made = profile(tmp_path, kvasir_json("verify", llama, *FAST, "--steps", "kv")["machine"]["level"], 1e6)
        made.write_text(made.read_text().replace("made up", "<i>made up</i>"))
        root = verify_page(model, tmp_path / "x.html", "--steps", "kv,speed", "--machine", made, code=(0, 5))
        assert facts(root)["profile"] == "<i>made up</i>"
    check_alone(root)
    shown = next(root.all("h1")).text()
    assert '</title><script>alert(1)</script> "q" \'&amp; <img src=http://evil.example/x onerror=1>' in shown
    assert not set("\x1b\x07\u202e") & set((tmp_path / "x.html").read_text()) and "\ufffd" in shown
    assert next(next(root.all("h1")).all("bdi")).text() in next(root.all("title")).text()
    assert facts(root)["file"].endswith("<b>&lt;\xff.gguf")


# ---- folding ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("n", [12, 13])
def test_folding(n, llama, tmp_path):
    """From 13 rows on a table is folded."""
    root = sweep_page(llama, tmp_path / "x.html", "--depths", ",".join(str(8 * i) for i in range(n)))
    folds = list(root.all("details"))
    assert len(list(next(root.all("tbody")).all("tr"))) == n and len(folds) == (n > 12)
    if folds:
        assert "open" not in folds[0].attributes and next(folds[0].all("table"))
        assert next(folds[0].all("summary")).text() == "The table of 13 rows"


def test_folding_by_step(llama, tmp_path):
    """Each step of verify has a table of its own, and says below which line how it went."""
    root = verify_page(llama, tmp_path / "x.html", "--steps", "kv,speed", code=(0, 5))
    kv, speed = root.all("table")
    assert kv.parent.parent.tag == "main" and speed.parent.parent.tag == "details"
    assert re.fullmatch(r"The table of 1\d rows: (none|1|2) failed", next(root.all("summary")).text())


# ---- colours ------------------------------------------------------------------------------------------------------

def luminance(colour):
    parts = [int(c * 2 if len(colour) == 4 else c, 16) / 255 for c in re.findall("." if len(colour) == 4 else "..", colour[1:])]
    return sum(w * (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4)
               for w, p in zip((0.2126, 0.7152, 0.0722), parts))


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_contrast(llama, tmp_path):
    """Text and lines of both schemes, by the rule of WCAG AA for text."""
    assert contrast("#fff", "#000") == pytest.approx(21) and contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)
    style = "".join(e.text() for e in sweep_page(llama, tmp_path / "x.html", "--depths", "0").all("style"))
    named = re.findall(r"(--(?:ground|ink|soft|good|bad)|\.(?:bg|ink|soft|k|[cf]\d)\{(?:fill|stroke)):(#[0-9a-f]+)", style)
    schemes = [{}, {}]
    for key, colour in named:
        schemes[key in schemes[0]][key] = colour
    assert len(schemes[0]) == len(schemes[1]) == 5 + 4 + 16 and len(named) == 2 * 25
    for scheme in schemes:
        assert scheme["--ground"] == scheme[".bg{fill"]
        for key, colour in scheme.items():
            assert key in ("--ground", ".bg{fill") or contrast(colour, scheme["--ground"]) >= 4.5, (key, colour)


# ---- in a browser -------------------------------------------------------------------------------------------------

CHECK = """(() => {
    const shown = e => e.getClientRects().length > 0, found = [];
    for (const svg of document.querySelectorAll('svg.chart')) {
        if (!shown(svg)) continue;
        const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
        const box = svg.getBoundingClientRect(), size = 13 * box.width / svg.viewBox.baseVal.width;
        if (size < 11) found.push('text of ' + size + ' px');
        texts.forEach(([name, a], i) => {
            if (a.left < box.left - 1 || a.right > box.right + 1 || a.top < box.top - 1 || a.bottom > box.bottom + 1)
                found.push(name + ' is cut off');
            for (const [other, b] of texts.slice(i + 1))
                if (a.left < b.right && b.left < a.right && a.top < b.bottom - 2 && b.top < a.bottom - 2)
                    found.push(name + ' lies on ' + other);
        });
    }
    return {width: document.documentElement.scrollWidth, window: innerWidth, found: found,
            charts: [...document.querySelectorAll('svg.chart')].filter(shown).length,
            loaded: performance.getEntriesByType('resource').length, ground: getComputedStyle(document.body).backgroundColor};
})()"""


SCROLLED = """(() => {
    const box = document.querySelector('.scroll'), left = box.getBoundingClientRect().left;
    box.scrollLeft = 500;
    const heads = [...box.querySelectorAll('thead th')].map(h => [h.textContent, h.getBoundingClientRect()]);
    return box.scrollLeft < 300 ? 'too narrow' : heads.slice(0, 2).filter(([_, a]) => a.left >= left - 1).map(([name, _]) => name);
})()"""


@pytest.fixture(scope="module")
def browser():
    if not chromium():
        pytest.skip("no chromium")
    with Browser() as b:
        yield b


@pytest.fixture(scope="module")
def pages(llama, tmp_path_factory):
    """Few rows and many, eight types, a name without a space, failures."""
    if not chromium():
        pytest.skip("no chromium")
    folder = tmp_path_factory.mktemp("pages")
    model = renamed(llama, folder / "long.gguf", "A-model-whose-name-has-no-space-" * 8)
    kinds = "f16,f32,q8,q4,q8:q4,f16:f32,f32:q8,q4:f16"
    sweep_page(model, folder / "sweep.html", "--depths", "0,128,1k,3k", "--kv", kinds, "--kv-memory", "400K")
    sweep_page(llama, folder / "one.html", "--depths", "0")
    machine = profile(folder, kvasir_json("verify", llama, *FAST, "--steps", "kv")["machine"]["level"], 9e14)
    verify_page(model, folder / "verify.html", "--machine", machine, "--kv", "q4", code=5)
    for path in ("sweep", "verify"):
        text = (folder / f"{path}.html").read_text()
        assert "<details>" in text
        (folder / f"{path}-open.html").write_text(text.replace("<details>", "<details open>"))
    return folder


@pytest.mark.parametrize("width", [390, 768, 881, 1280])
@pytest.mark.parametrize("name", ["sweep", "sweep-open", "one", "verify", "verify-open"])
def test_in_a_browser(name, width, browser, pages):
    """Nothing is wider than the window, letters in charts are large enough and not on each other, and the ground follows the
    scheme."""
    grounds = {}
    for dark in (False, True):
        browser.open(pages / f"{name}.html", width, dark)
        seen = browser.value(CHECK)
        assert seen["window"] == width and seen["width"] <= width and seen["found"] == [] and seen["loaded"] == 0
        assert seen["charts"] == (3 if name.startswith("verify") else 2), "one of the two drawings"
        grounds[dark] = seen["ground"]
        if name == "sweep-open" and width == 390:
            assert browser.value(SCROLLED) == ["depth", "KV"], "what names a row stays in view"
    assert grounds == {False: "rgb(255, 255, 255)", True: "rgb(22, 24, 28)"}
