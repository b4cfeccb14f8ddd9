#!/usr/bin/env python3
"""Makes the pictures of docs/sweep.md and docs/verify.md anew: measures, and takes pictures of the pages.

    docs/img/make.py MODEL.gguf [--threads N] [--pages FOLDER]

KVASIR_BIN names the command (default build/src/cli/kvasir). Wanted are an idle machine, a Chromium (Debian: chromium), and Pillow
(python3-pil, or pip in a venv), which makes the pictures small; without it they are written as they come. --pages keeps the pages in a
folder; pages that lie there are not measured again."""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e/rig"))
from browser import Browser, chromium  # noqa: E402

try:
    from PIL import Image
except ImportError:
    Image = None

BIN = os.environ.get("KVASIR_BIN", str(ROOT / "build/src/cli/kvasir"))
PICTURES = [("sweep", 1280, "light"), ("sweep", 390, "dark"), ("verify", 1280, "dark"), ("verify-memory", 390, "light")]
MOST_HEIGHT = {390: 1400, 1280: 1450}
MOST_BYTES = 80_000


def measure(model, threads, folder):
    """The pages of a sweep and of two verifications, of which a profile of this machine judges one. None of the user's own files is
    read or written."""
    env = {**os.environ, "XDG_CONFIG_HOME": str(folder / "settings")}

    def kvasir(*args, codes=(0,)):
        done = subprocess.run([BIN, *args, "-t", str(threads)], cwd=model.parent, env=env)
        if done.returncode not in codes:
            sys.exit(f"kvasir {args[0]} ended with {done.returncode}")

    if not (folder / "verify.html").exists():
        kvasir("probe")
        kvasir("verify", model.name, "--kv", "q8", "--quick", "--html", str(folder / "verify.html"), codes=(0, 5))
    if not (folder / "verify-memory.html").exists():
        kvasir("verify", model.name, "--kv", "q8", "--quick", "--steps", "kv,memory,quality", "--html",
               str(folder / "verify-memory.html"))
    if not (folder / "sweep.html").exists():
        kvasir("sweep", model.name, "--depths", "0,1k,2k,4k,7k", "--kv", "f16,q8,q4", "--pp", "256", "--tg", "32",
               "--html", str(folder / "sweep.html"))


def height_of(browser, most):
    """Where the last part of the page ends that is whole within `most` pixels."""
    ends = browser.value("[...document.querySelectorAll('section, details, .scroll')].map(e => e.getBoundingClientRect().bottom)")
    return max([e for e in ends if 0 < e <= most - 20], default=most - 20) + 20


def make_small(path):
    if Image:
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        small.save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.name}: {size:,} bytes{', more than wanted' if size > MOST_BYTES else ''}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--pages", type=Path)
    given = arguments.parse_args()
    if not chromium():
        sys.exit("there is no Chromium; Debian has one: apt-get install --no-install-recommends chromium")
    if not Image:
        print("Pillow is missing, so the pictures will be large: python3 -m venv v && v/bin/pip install pillow", file=sys.stderr)
    with tempfile.TemporaryDirectory() as scratch, Browser() as browser:
        folder = (given.pages or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        measure(given.model.resolve(), given.threads, folder)
        for name, width, scheme in PICTURES:
            path = HERE / f"{name}-{width}-{scheme}.png"
            browser.open(folder / f"{name}.html", width, scheme == "dark")
            browser.picture(path, height_of(browser, MOST_HEIGHT[width]))
            make_small(path)


if __name__ == "__main__":
    main()
