"""Files that commands write: refused before anything is loaded or measured, whole or not there, old ones kept until then."""
import json
import os
import pwd
import signal
import stat
import subprocess
import threading
import time

import pytest

from conftest import BIN, environment, kvasir, tiny

LLAMA = tiny("llama-tied")
SWEEP = ["sweep", LLAMA, "--depths", "0", "--pp", 16, "--tg", 2, "--repeat", 1]
# Each option that names a file to be written, with a command that needs a model that is not there to go on.
OPTIONS = {
    "sweep --out": ["sweep", "none.gguf", "--out"], "sweep --csv": ["sweep", "none.gguf", "--csv"],
    "sweep --svg": ["sweep", "none.gguf", "--svg"], "sweep --html": ["sweep", "none.gguf", "--html"],
    "verify --html": ["verify", "none.gguf", "--html"], "tune --out": ["tune", "none.gguf", "--out"],
    "probe --out": ["probe", "--force", "--seconds", "5", "--out"],
    "inspect --out": ["inspect", "none.gguf", "--dump-tensor", "x", "--out"],
    "eval --logits": ["eval", "none.gguf", "--ids", "none.json", "--logits"],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_refused_at_once(tmp_path, option):
    """Before the model is opened, which would be an error of its own. Nothing is left behind."""
    (tmp_path / "file").write_text("old")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "astray").symlink_to("none/x")
    bad = {tmp_path: "it is a folder", tmp_path / "none/x": "its folder does not exist", tmp_path / "file/x": "no folder",
           "": "the name of the file is empty", "-": "/dev/stdout is stdout", tmp_path / "loop": "symbolic links", tmp_path / "astray": "its folder does not exist",
           tmp_path / ("x" * 300): "too long", "/proc/none": "cannot be written", f"{tmp_path}/none/": "does not exist"}
    bad["new/x.csv"] = "its folder does not exist: new\n"
    for path, says in bad.items():
        begun = time.monotonic()
        done = kvasir(*OPTIONS[option], path, code=1)
        assert says.encode() in done.stderr and b"cannot be written" in done.stderr and done.stdout == b"", path
        assert str(path).encode() in done.stderr and time.monotonic() - begun < 20
    assert sorted(os.listdir(tmp_path)) == ["astray", "file", "loop"] and (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize("option", OPTIONS)
def test_checking_changes_nothing(tmp_path, option):
    """A good path, and then the model that is not there: no empty file, and the old one is as it was."""
    if option.startswith("probe"):
        pytest.skip("it needs no model")
    old = tmp_path / "old"
    old.write_text("old")
    for path in (old, tmp_path / "new"):
        done = kvasir(*OPTIONS[option], path, code=(1, 3))
        assert b"none." in done.stderr and b"cannot be written" not in done.stderr
    assert os.listdir(tmp_path) == ["old"] and old.read_text() == "old"


def as_nobody():
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)


@pytest.mark.skipif(os.getuid() != 0, reason="another user is needed")
def test_permissions(tmp_path):
    """For who is not root: a file that may not be written, and a folder; a file that may be, in such a folder, is written into."""
    own = [f for f in tmp_path.parents if f.name.startswith(("pytest-", "popen-"))]  # never the system's folder above them
    for folder in (tmp_path, *own):
        folder.chmod(0o755)
    fixed, free, new = tmp_path / "fixed", tmp_path / "free", tmp_path / "new"
    for path, mode in ((fixed, 0o644), (free, 0o666)):
        path.write_text("old")
        path.chmod(mode)

    def run(path):
        probe = subprocess.run([BIN, *map(str, ["probe", "--force", "--seconds", 0.2, "-t", 1, "--folder", "/tmp", "--out", path])],
                               capture_output=True, env=environment(HOME="/nonexistent"), preexec_fn=as_nobody)
        return probe.returncode, probe.stderr
    for path in (fixed, new):
        code, err = run(path)
        if b"Permission denied" in err and b"cannot be written" not in err:
            pytest.skip("the program lies where another user may not read it")
        assert code == 1 and b"cannot be written: Permission denied" in err, err
    assert fixed.read_text() == "old" and not new.exists()
    code, err = run(free)
    assert code == 0 and json.loads(free.read_text())["schema"] == "kvasir.probe/1", err
    assert sorted(os.listdir(tmp_path)) == ["fixed", "free"]


# ---- what is there already --------------------------------------------------------------------------------------------------

def test_replaced_whole(tmp_path):
    out = tmp_path / "x.csv"
    out.write_text("old" * 10000)
    out.chmod(0o640)
    with open(out) as reader:
        kvasir(*SWEEP, "--csv", out)
        assert reader.read() == "old" * 10000, "who has the old one open goes on reading it"
    assert out.read_text().startswith("kv_k,kv_v,depth") and stat.S_IMODE(out.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["x.csv"]


def test_new_file_has_the_usual_mode(tmp_path):
    done = subprocess.run([BIN, *map(str, SWEEP), "--csv", tmp_path / "x.csv"], env=environment(), capture_output=True,
                          preexec_fn=lambda: os.umask(0o027))
    assert done.returncode == 0 and stat.S_IMODE((tmp_path / "x.csv").stat().st_mode) == 0o640


@pytest.mark.parametrize("exists", [True, False])
def test_links_stay_links(tmp_path, exists):
    (tmp_path / "real").mkdir()
    if exists:
        (tmp_path / "real/x.csv").write_text("old")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to(tmp_path / "real/x.csv")
    kvasir(*SWEEP, "--csv", tmp_path / "a")
    assert (tmp_path / "a").is_symlink() and (tmp_path / "b").is_symlink()
    assert (tmp_path / "real/x.csv").read_text().startswith("kv_k") and os.listdir(tmp_path / "real") == ["x.csv"]


def test_relative_path(tmp_path):
    done = subprocess.run([BIN, *map(str, SWEEP), "--csv", "x.csv"], env=environment(), capture_output=True, cwd=tmp_path)
    assert done.returncode == 0 and os.listdir(tmp_path) == ["x.csv"]


def test_devices_and_pipes(tmp_path):
    kvasir(*SWEEP, "--csv", "/dev/null", "--out", "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert b"kv_k,kv_v,depth" in kvasir(*SWEEP, "--csv", "/dev/stdout").stdout
    assert b"kv_k,kv_v,depth" in kvasir(*SWEEP, "--csv", "/dev/stderr").stderr
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    kvasir(*SWEEP, "--csv", fifo)
    reader.join()
    assert got[0].startswith(b"kv_k") and stat.S_ISFIFO(fifo.stat().st_mode) and os.listdir(tmp_path) == ["fifo"]


@pytest.mark.parametrize("path", ["/dev/stdout", "own"])
def test_the_file_behind_stdout(tmp_path, path):
    """Both are in it, one behind the other."""
    own = tmp_path / "own"
    with open(own, "wb") as f:
        done = subprocess.run([BIN, *map(str, SWEEP), "--csv", own if path == "own" else path], env=environment(), stdout=f,
                              stderr=subprocess.PIPE)
    text = own.read_text()
    assert done.returncode == 0 and "kv_k,kv_v,depth" in text and "prefill t/s" in text and "decode f16" in text
    assert os.listdir(tmp_path) == ["own"]


def test_full_disk():
    """What does not get there is an error."""
    for args in ([*SWEEP, "--csv", "/dev/full"], ["inspect", LLAMA, "--dump-tensor", "output_norm.weight", "--out", "/dev/full"]):
        assert b"/dev/full cannot be written: No space left" in kvasir(*args, code=1).stderr


# ---- runs that fail -----------------------------------------------------------------------------------------------------------

def test_failure_keeps_the_old_file(tmp_path):
    old, ids = tmp_path / "old", tmp_path / "ids.json"
    old.write_text("old")
    ids.write_text("[1, 2, 999999999]")
    kvasir("eval", LLAMA, "--ids", ids, "--logits", old, code=2)
    kvasir("inspect", LLAMA, "--dump-tensor", "nonsense", "--out", old, code=2)
    kvasir("sweep", LLAMA, "--depths", "0", "--kv", "q9", "--csv", old, code=2)
    assert old.read_text() == "old" and sorted(os.listdir(tmp_path)) == ["ids.json", "old"]
    ids.write_text("[1, 2, 3]")
    kvasir("eval", LLAMA, "--ids", ids, "--logits", old)
    assert old.stat().st_size % 4 == 0 and old.read_bytes() != b"old" and sorted(os.listdir(tmp_path)) == ["ids.json", "old"]


def test_interrupt_keeps_the_old_files(tmp_path):
    """Stopped before the first row: there is nothing to write."""
    paths = {option: tmp_path / option[2:] for option in ("--out", "--csv", "--svg", "--html")}
    for path in paths.values():
        path.write_text("old")
    args = ["sweep", LLAMA, "--depths", "2000", "--pp", "64", "--tg", "250", "--repeat", "100", "-t", "1"]
    for option, path in paths.items():
        args += [option, str(path)]
    process = subprocess.Popen([BIN, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    err = process.communicate()[1]
    assert process.returncode == 130, err
    assert {path.read_text() for path in paths.values()} == {"old"} and len(os.listdir(tmp_path)) == 4


def test_interrupted_logits(tmp_path):
    out, ids = tmp_path / "out.f32", tmp_path / "ids.json"
    out.write_text("old")
    ids.write_text(json.dumps([1] * 100))
    process = subprocess.Popen([BIN, "eval", LLAMA, "--ids", ids, "--at", "all", "--greedy", "3900", "--logits", out, "-t", "1"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    err = process.communicate()[1]
    assert process.returncode == 130, err
    assert out.read_text() == "old" and sorted(os.listdir(tmp_path)) == ["ids.json", "out.f32"]


@pytest.mark.parametrize("other", ["same", "./same", "link"])
def test_one_file_for_two_documents(tmp_path, other, monkeypatch):
    """Refused before anything is measured, however the file is named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("same")
    done = kvasir("sweep", tiny("llama-tied"), "--depths", "0", "--out", "same", "--csv", other, code=2)
    assert b"is named twice" in done.stderr and not (tmp_path / "same").exists()
