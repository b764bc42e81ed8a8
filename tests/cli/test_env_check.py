"""`vidbench env check`, on this machine and on broken ones."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import pty
import shutil
import signal
import struct
import subprocess
import sys
import sysconfig
import termios
import time
import venv
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from vidbench.cli.app import main
from vidbench.env.check import CHECKS
from vidbench.model.zoo import MODELS

ROOT = Path(__file__).parents[2]
REMARK = "loading torch and the decoders in processes of their own; this takes some seconds\n"
# what the command line itself stands on
CORE = ("typer", "rich", "pydantic")


def broken(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_this_machine_as_json(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDBENCH_HOME", str(tmp_path / "cache"))
    code = main(["env", "check", "--json"])
    out, err = capfd.readouterr()
    told: dict[str, Any] = json.loads(out)
    assert err == REMARK
    always = [check for check in CHECKS if check.when == "always"]
    assert [finding["id"] for finding in told["findings"]] == [check.id for check in always]
    status = {finding["id"]: finding["status"] for finding in told["findings"]}
    assert "crash" not in status.values()
    assert code == (4 if told["counts"]["fail"] else 0)
    assert sum(told["counts"].values()) == len(always)
    # the tests need a machine on which the networks build and videos decode
    assert {id: status[id] for id in ("B4", "D0", "D1", "D4", "D6", "A4")} == dict.fromkeys(
        ("B4", "D0", "D1", "D4", "D6", "A4"), "ok"
    )
    assert status["F3"] in ("ok", "warn")
    facts = told["facts"]
    assert all(facts[part] is not None for part in {part for check in always for part in check.needs})
    # torchcodec loads beside what stands for the compiler of torch
    codec = [one["stage"] for one in facts["decoders"] if one["backend"] == "torchcodec"]
    assert all(stage["status"] in ("ok", "absent") for stage in codec), codec
    assert facts["torch"]["version"].split("+")[0] == metadata.version("torch").split("+")[0]
    assert round(facts["pytorchvideo"]["data"]["parameters"] / 1e6, 2) == 3.79
    pyav = {one["codec"]: one["frames"] for one in facts["decoders"] if one["backend"] == "pyav"}
    assert pyav["h264"] == 12
    assert set(pyav.values()) == {12}
    home = str(Path.home())
    assert len(Path(home).parts) < 2 or f"{home}/" not in out
    assert list(tmp_path.iterdir()) == []


def test_a_group_as_text(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDBENCH_HOME", str(tmp_path))
    assert main(["env", "check", "--only", "J1", "--only", "b3"]) == 0
    out, err = capfd.readouterr()
    cards = [MODELS.get(name) for name in MODELS.names()]
    published = len({file.file for card in cards if card.published for file in (card.published, *card.others)})
    assert out.splitlines() == [
        "Python",
        "  ok    B3        shadowed modules: no file of the working folder hides a module",
        "",
        "Weights",
        f"  info  J1        published weights: 0 of {published} published files in {tmp_path}/weights",
        "        vidbench weights pull x3d_m",
        "",
        "1 ok, 1 info, 0 warnings, 0 failures: vidbench works here",
    ]
    # nothing slow was asked for
    assert err == ""


def test_strict_fails_on_warnings(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "art.py").write_text("")
    assert main(["env", "check", "--only", "B3"]) == 0
    assert main(["env", "check", "--only", "B3", "--strict"]) == 4
    out, _ = capfd.readouterr()
    assert out.splitlines()[-5:] == [
        "Python",
        "  WARN  B3        shadowed modules: art.py in the working folder hides the module art "
        "from `python -m vidbench`",
        "        mv art.py my_art.py",
        "",
        "0 ok, 0 info, 1 warning, 0 failures: vidbench works here; the warnings say what would go better",
    ]


def test_an_unknown_check(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "check", "--only", "D77"]) == 3
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("vidbench: unknown check 'D77'\n")
    assert "D6" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "raise ImportError('libcudart.so.13: cannot open')",
            "torch fails while it loads: ImportError: libcudart.so.13:",
        ),
        ("import os\nos.abort()", "torch takes its process down: ended by SIGABRT"),
        ("import time\ntime.sleep(600)", "torch hangs: no answer within 2 s"),
    ],
)
def test_a_broken_torch_is_a_finding(
    text: str, message: str, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(tmp_path, monkeypatch, "torch", text)
    assert main(["env", "check", "--only", "D0", "--only", "D1", "--only", "B1", "--timeout", "2"]) == 4
    out, err = capfd.readouterr()
    assert err == REMARK
    lines = out.splitlines()
    assert lines[1].startswith("  ok    B1        interpreter: Python 3.")
    assert lines[4].startswith(f"  FAIL  D0        torch: {message}")
    assert lines[4].endswith(" [stops model, attack, demo]")
    assert lines[5] == "        pip install --force-reinstall torch torchvision"
    assert lines[6] == "  skip  D1        torchvision: torch does not load"
    assert lines[-1] == (
        "1 ok, 0 info, 0 warnings, 1 failure: mend the failures first; each says how (1 did not apply)"
    )


def test_a_torchvision_that_does_not_fit(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what a torchvision of another index does: it asks torch for an operator that was not loaded
    broken(
        tmp_path,
        monkeypatch,
        "torchvision",
        "import torch\n"
        "@torch.library.register_fake('torchvision::nms')\n"
        "def meta_nms(dets, scores, iou_threshold):\n"
        "    return dets\n",
    )
    assert main(["env", "check", "--only", "D1", "--only", "D4"]) == 4
    out, _ = capfd.readouterr()
    assert (
        "FAIL  D1        torchvision: torchvision fails while it loads: RuntimeError: operator torchvision::nms" in out
    )
    assert "FAIL  D4        pytorchvideo: pytorchvideo fails while it loads" in out


def test_a_broken_av(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(tmp_path, monkeypatch, "av", "import os\nos.abort()")
    broken(tmp_path, monkeypatch, "torch", "raise ImportError('not of interest here')")
    assert main(["env", "check", "--only", "F3"]) == 4
    out, _ = capfd.readouterr()
    assert (
        "FAIL  F3        decoders: no H.264 clip could be written: PyAV takes its process down: ended by SIGABRT" in out
    )


def small_environment(folder: Path, names: tuple[str, ...]) -> Path:
    """A virtual environment with some of the distributions of this one, and its interpreter."""
    venv.create(folder, with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    target = folder / "lib" / version / "site-packages"
    source = Path(sysconfig.get_path("purelib"))
    wanted, seen = list(names), set()
    while wanted:
        name = wanted.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            if (source / top).exists() and not (target / top).exists():
                (target / top).symlink_to(source / top)
        for line in distribution.requires or ():
            if "extra ==" in line or ("sys_platform" in line or "platform_system" in line):
                continue
            wanted.append("".join(c if c.isalnum() or c in "-_." else " " for c in line).split()[0].rstrip("."))
    return folder / "bin" / "python"


def vidbench(python: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(python), "-m", "vidbench", *arguments],
        env=environment | {"PYTHONPATH": str(ROOT)} | changes,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_without_torch_and_all_the_others(tmp_path: Path) -> None:
    python = small_environment(tmp_path / "venv", CORE)
    done = vidbench(python, "env", "check", "--json")
    assert (done.returncode, done.stderr) == (4, REMARK)
    found = {finding["id"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert "crash" not in {finding["status"] for finding in found.values()}
    assert (found["D0"]["message"], found["D0"]["remedy"]) == (
        "torch is not installed",
        "pip install torch torchvision",
    )
    assert found["F3"]["message"] == "PyAV is not installed, no video can be read"
    assert found["B1"]["status"] == "ok"
    assert found["B4"]["status"] == "fail"
    assert "torch>=2.10 is not installed; torchvision>=0.25 is not installed" in found["B4"]["message"]
    assert found["B4"]["message"].count("is not installed") == found["B4"]["remedy"].count(">=")
    assert found["B8"]["status"] == "skip"
    text = vidbench(python, "env", "check")
    assert text.returncode == 4
    assert "  FAIL  D0        torch: torch is not installed [stops model, attack, demo]\n" in text.stdout


def test_interrupting_ends_the_children(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    mark = tmp_path / "pid"
    (tmp_path / "torch" / "__init__.py").write_text(
        f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "vidbench", "env", "check", "--only", "D0"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 30
        while not (mark.exists() and mark.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.endswith("vidbench: interrupted; run the same command to resume\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


@pytest.mark.parametrize(
    ("changes", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colours_on_a_terminal(changes: dict[str, str], coloured: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    controller, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "vidbench", "env", "check", "--only", "B1"],
            cwd=ROOT,
            env=environment | {"TERM": "xterm"} | changes,
            stdout=terminal,
            timeout=60,
        )
        said = os.read(controller, 10_000).decode()
    finally:
        os.close(terminal)
        os.close(controller)
    assert done.returncode == 0
    assert "B1" in said
    assert ("\x1b[" in said) is coloured


def test_explain_names_the_errors_that_point_to_a_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "explain", "c5"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("C5: kernels (GPUs; model, attack, demo)\n")
    assert "no kernel image is available" in told
    assert main(["env", "explain", "C99"]) == 3
    assert "unknown check 'C99'" in capsys.readouterr().err


def test_a_known_error_of_a_library_points_back(capsys: pytest.CaptureFixture[str]) -> None:
    from vidbench.cli.app import app

    @app.command("broken-for-the-test", hidden=True)
    def broken() -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    try:
        assert main(["broken-for-the-test"]) == 4
    finally:
        app.registered_commands.pop()
    told = capsys.readouterr().err
    assert "`vidbench env explain D1`" in told
    assert "pip install --force-reinstall torch torchvision" in told
    assert "this is a bug" not in told


def test_watch_writes_lines_and_a_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.csv"
    assert main(["env", "watch", "--count", "2", "--interval", "0.1", "--csv", str(log)]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 2
    assert len(log.read_text().splitlines()) >= 3


def test_diff_of_two_folders_that_are_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "diff", str(tmp_path), str(tmp_path)]) == 3
    assert "holds no environment.json" in capsys.readouterr().err


def distribution(folder: Path, name: str, version: str) -> None:
    """What pip leaves of a package for others to know of it."""
    entry = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    entry.mkdir(parents=True)
    (entry / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_a_spoilt_environment(tmp_path: Path) -> None:
    """Two OpenCVs, a release by an attacker, a checkout on PYTHONPATH, a library and a file in the way."""
    leaks, here, libraries = tmp_path / "SlowFast", tmp_path / "here", tmp_path / "lib64"
    for version, name in (("4.12.0.88", "opencv-python"), ("4.11.0.86", "opencv-contrib-python-headless")):
        distribution(leaks, name, version)
    distribution(leaks, "ultralytics", "8.3.42")
    for folder in (leaks / "slowfast", here, libraries):
        folder.mkdir(parents=True)
    (leaks / "slowfast" / "__init__.py").write_text("")
    (here / "art.py").write_text("")
    (libraries / "libcudnn.so.8").write_bytes(b"")
    only = [word for id in ("B2", "B3", "B6", "B10", "C8") for word in ("--only", id)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vidbench", "env", "check", *only],
        cwd=here,
        env=os.environ | {"PYTHONPATH": f"{leaks}{os.pathsep}{ROOT}", "LD_LIBRARY_PATH": str(libraries)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (4, "")
    for line in (
        f"  WARN  B2        leaks: PYTHONPATH puts {leaks} before what is installed, and slowfast is there",
        "  WARN  B3        shadowed modules: art.py in the working folder hides the module art from "
        "`python -m vidbench`",
        "  WARN  B6        OpenCV: opencv-python 4.12.0.88 and opencv-contrib-python-headless 4.11.0.86 are installed "
        "side by side and overwrite each other's files",
        "  FAIL  B10       known bad releases: ultralytics 8.3.42 was published with malicious code: remove it, and "
        "replace every password and token that was reachable from here [stops data, model, attack, label, demo]",
        "        pip uninstall -y ultralytics",
        f"  WARN  C8        foreign libraries: {libraries}/libcudnn.so.8 comes before the libraries that torch brings "
        "along",
    ):
        assert line in done.stdout.splitlines()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="compiles an extension")
def test_a_detectron2_that_was_built_for_another_torch(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(tmp_path, monkeypatch, "detectron2", "__version__ = '0.6'")
    monkeypatch.syspath_prepend(str(tmp_path))
    symbol = "_ZNK3c1010TensorImpl15incref_pyobjectEv"
    source = tmp_path / "c.c"
    source.write_text(f"void {symbol}(void);\nvoid *PyInit__C(void) {{ {symbol}(); return 0; }}\n")
    target = tmp_path / "detectron2" / f"_C{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(target), str(source)], check=True)
    assert main(["env", "check", "--for", "detectron2", "--only", "E1", "--only", "E2"]) == 4
    lines = capfd.readouterr().out.splitlines()
    assert lines[1].startswith(
        f"  WARN  E1        detectron2: detectron2 0.6 is imported from {tmp_path}/detectron2, a"
    )
    (told,) = [line for line in lines if "E2" in line]
    assert told.startswith("  FAIL  E2        compiled part: its compiled part does not load with torch ")
    assert f"undefined symbol: {symbol}); it has to be built again, as after each change of torch" in told
    assert told.endswith(" [stops detectron2]")
    build = lines[lines.index(told) + 1]
    assert "MAX_JOBS=" in build
    assert build.endswith(
        "pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2@02b5c4e2'"
    )


def test_trials_of_a_broken_torch_are_findings(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(tmp_path, monkeypatch, "torch", "raise ImportError('libcudart.so.13: cannot open')")
    only = [word for id in ("C6", "I1", "K1", "K2") for word in ("--only", id)]
    assert main(["env", "check", *only]) == 4
    told = capfd.readouterr()
    assert "Traceback" not in told.out + told.err
    error = "failed: ImportError: libcudart.so.13: cannot open"
    for line in (
        f"FAIL  C6        computing: a convolution {error} [stops model, attack, demo]",
        f"FAIL  K1        a clip: a clip through X3D-XS {error} [stops model, demo]",
        f"FAIL  K2        an attack: a step of PGD {error} [stops attack, demo]",
        f"WARN  I1        gloo: a meeting of two processes over gloo {error}",
    ):
        assert f"  {line}\n" in told.out
    assert told.out.count("        vidbench env check --group torch --only B4\n") == 3


def first_byte(command: list[str]) -> float:
    """Seconds until a command in a terminal says something."""
    controller, terminal = pty.openpty()
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=terminal, stderr=terminal, cwd=ROOT)
    os.close(terminal)
    try:
        assert os.read(controller, 1)
        return time.monotonic() - started
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):
            while os.read(controller, 10_000):
                pass
        process.wait(30)
        os.close(controller)


def test_the_first_line_comes_at_once() -> None:
    # 0.25 s on an idle machine; a busy one is slow for a bare Python, too
    python = min(first_byte([sys.executable, "-c", "print(1)"]) for _ in range(2))
    check = min(first_byte([sys.executable, "-m", "vidbench", "env", "check"]) for _ in range(2))
    assert check < 0.3 + 25 * python


def in_terminal(
    command: list[str], environment: dict[str, str], until: bytes, resize: bool = False
) -> tuple[int, bytes]:
    """Run in a terminal of 120 columns until it has said something, then press Ctrl-C; exit code and all it said."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    process = subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
    )
    os.close(terminal)
    said = b""
    try:
        while until not in said:
            said += os.read(controller, 10_000)
        if resize:
            fcntl.ioctl(controller, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
            process.send_signal(signal.SIGWINCH)
            for _ in range(3):
                said += os.read(controller, 10_000)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):
            while more := os.read(controller, 10_000):
                said += more
        return process.wait(30), said
    finally:
        process.kill()
        os.close(controller)


def smi(folder: Path, script: str) -> dict[str, str]:
    """An environment in which a script is nvidia-smi."""
    folder.mkdir()
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "TERM": "xterm"}


@pytest.mark.timeout(60)
def test_watching_until_ctrl_c(tmp_path: Path) -> None:
    environment = smi(
        tmp_path / "bin",
        'case "$1" in --query-gpu*) echo "GPU-1, 0, NVIDIA H200, 97, 70144, 143771, 61, 412.50";;\n'
        '*) echo "GPU-1, 4242, /usr/bin/python3, 70000";; esac',
    )
    log = tmp_path / "log.csv"
    command = [sys.executable, "-m", "vidbench", "env", "watch", "--interval", "0.1", "--csv", str(log)]
    code, said = in_terminal(command, environment, b"cuda:0", resize=True)
    assert code == 0
    assert b"97 %" in said
    # a narrow terminal breaks cells
    for word in (b"68.5 of", b"140.4", b"python3"):
        assert word in said
    assert b"Traceback" not in said
    rows = log.read_text().splitlines()
    assert len(rows) >= 4
    assert {row.split(",", 1)[1] for row in rows[1:]} == {
        "cuda:0,NVIDIA H200,97.0,70144,143771,61.0,412.5,4242:python3"
    }


@pytest.mark.timeout(60)
def test_watching_a_driver_that_hangs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", smi(tmp_path / "bin", "exec sleep 600")["PATH"])
    monkeypatch.setattr("vidbench.env.watch._LIMIT_S", 0.5)
    started = time.monotonic()
    assert main(["env", "watch", "--count", "3", "--interval", "0.1"]) == 0
    out, err = capfd.readouterr()
    assert err == "warning: nvidia-smi: no answer within 0.5 s; CPU and memory instead\n"
    assert len(out.splitlines()) == 3
    # it is asked once
    assert time.monotonic() - started < 20


def test_a_report_names_nobody(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "ada.lovelace"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", "ada.lovelace")
    monkeypatch.setenv("VIDBENCH_HOME", str(home / "cache"))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/scratch/ada.lovelace/lib:/opt/lib")
    broken(home, monkeypatch, "torch", f"raise ImportError('/scratch/ada.lovelace/x and {platform.node()}')")
    monkeypatch.chdir(home)
    assert main(["env", "report"]) == 0
    out, _ = capfd.readouterr()
    assert "ada.lovelace" not in out
    assert len(platform.node()) < 3 or platform.node() == "localhost" or f" {platform.node()}" not in out
    assert "fail  D0        torch: torch fails while it loads: ImportError: /scratch/USER/x" in out
    assert "LD_LIBRARY_PATH                  /scratch/USER/lib:/opt/lib\n" in out
    assert main(["env", "report", "--json"]) == 0
    assert "ada.lovelace" not in capfd.readouterr().out


@pytest.mark.slow
def test_deep_checks_of_this_machine_and_two_runs_compared(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDBENCH_HOME", str(tmp_path / "cache"))
    assert main(["env", "check", "--deep", "--group", "deep", "--json"]) == 0
    told = {finding["id"]: finding for finding in json.loads(capfd.readouterr().out)["findings"]}
    assert set(told) == {check.id for check in CHECKS if check.when == "deep"}
    assert {id: told[id]["status"] for id in ("C6", "I1", "K1", "K2")} == dict.fromkeys(("C6", "I1", "K1", "K2"), "ok")
    assert "are read by PyAV" in told["F8"]["message"]
    words = ["-q", "attack", "run", "--model", "x3d_tiny", "--weights", "random", "--attack", "pgd", "--steps", "1"]
    for name in ("a", "b"):
        monkeypatch.setenv("OMP_NUM_THREADS", "1" if name == "a" else "2")
        assert main([*words, "--limit", "1", "--out", name]) == 0
    capfd.readouterr()
    assert main(["env", "diff", "a", "b", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["differences"] == [
        {"part": "variable", "name": "OMP_NUM_THREADS", "first": "1", "second": "2"}
    ]
