"""Child processes against packages that are really broken."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.machines import BASE
from vidbench.env.check import judge, select
from vidbench.env.processes import Processes
from vidbench.env.trials import reason

SLEEPER = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {inner!r}])\ntime.sleep(600)\n"


def package(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(text)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the children search first."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def alive(marker: str) -> list[str]:
    """Command lines of living processes that hold a word."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if marker in line:
            found.append(line)
    return found


@pytest.mark.parametrize(
    ("text", "status", "error"),
    [
        ("raise ImportError('libcudart.so.13: cannot open')", "error", "ImportError: libcudart.so.13: cannot open"),
        ("raise SystemExit(3)", "error", "SystemExit: 3"),
        ("import no_such_thing", "error", "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("1 / 0", "error", "ZeroDivisionError: division by zero"),
        (
            "import os, sys\nsys.stderr.write('noise\\nterminate called\\n')\nsys.stderr.flush()\nos.abort()",
            "died",
            "ended by SIGABRT: terminate called",
        ),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "died", "ended by SIGSEGV"),
        ("import os\nos._exit(7)", "died", "ended with exit code 7"),
        ("import time\ntime.sleep(600)", "timeout", "no answer within 1 s"),
    ],
)
def test_a_broken_torch(path: Path, text: str, status: str, error: str) -> None:
    package(path, "torch", text)
    with Processes(limit_s=1.0) as processes:
        done = processes.stages(["torch", "torchvision", "pytorchvideo"], str(path))
    assert (done["torch"].status, done["torch"].error) == (status, error)
    assert {name: done[name].status for name in ("torchvision", "pytorchvideo")} == {
        "torchvision": "unreached",
        "pytorchvideo": "unreached",
    }
    assert not list(path.glob("core*"))


def test_stages_after_a_crash_are_still_run(path: Path) -> None:
    package(path, "decord", "import os\nos.abort()")
    package(path, "cv2", "raise OSError('libGL.so.1: cannot open shared object file')")
    with Processes(limit_s=20.0) as processes:
        done = processes.stages(["decord:h264", "decord:av1", "opencv:h264", "pyav:h264"], str(path))
    assert {name: stage.status for name, stage in done.items()} == {
        "decord:h264": "died",
        "decord:av1": "died",
        "opencv:h264": "error",
        # there is no clip
        "pyav:h264": "error",
    }
    assert done["opencv:h264"].error == "OSError: libGL.so.1: cannot open shared object file"
    assert done["pyav:h264"].error.startswith("FileNotFoundError: ")


def test_what_a_package_prints_is_not_taken_for_an_answer(path: Path) -> None:
    package(path, "av", "import os\nprint('{\"end\": \"x\"}')\nos.write(1, b'from C\\n')\nraise ImportError('broken')")
    with Processes(limit_s=20.0) as processes:
        done = processes.stages(["encode:h264"], str(path))
    assert done["encode:h264"].error == "ImportError: broken"


def test_an_absent_package(path: Path) -> None:
    # a package of the name that does not hold what is looked for is broken, not absent
    package(path, "torchcodec", "")
    with Processes(limit_s=20.0) as processes:
        done = processes.stages(["torchcodec:h264"], str(path))
    assert done["torchcodec:h264"].status == "error"


def test_a_cxx_library_that_is_too_old_is_told_from_any_line(path: Path) -> None:
    text = "Could not load libtorchcodec. Likely causes:\\n ...\\nversion `GLIBCXX_3.4.40' not found (required by x.so)"
    package(path, "torchcodec", f'raise RuntimeError("{text}")')
    with Processes(limit_s=20.0) as processes:
        done = processes.stages(["torchcodec:h264"], str(path))
    assert done["torchcodec:h264"].error == (
        "RuntimeError: Could not load libtorchcodec. Likely causes:; version `GLIBCXX_3.4.40' not found"
    )


def test_a_detectron2_of_another_cuda_without_pkg_resources(path: Path) -> None:
    package(path, "detectron2", "__version__ = '0.6'")
    (path / "detectron2" / "_C.py").write_text(
        "import torch\n"
        "library = torch.library.Library('detectron2', 'DEF')\n"
        "library.define('nms_rotated(Tensor boxes, Tensor scores, float threshold) -> Tensor')\n"
        "library.impl('nms_rotated', lambda boxes, scores, threshold: torch.tensor([0, 1]), 'CPU')\n"
        "def get_cuda_version():\n    return '11.3'\n"
        "def get_compiler_version():\n    return 'GCC 7.5'\n"
    )
    package(path / "detectron2", "model_zoo", "import pkg_resources")
    package(path, "pkg_resources", "raise ModuleNotFoundError(\"No module named 'pkg_resources'\")")
    with Processes(limit_s=120.0) as processes:
        stage = processes.stages(["detectron2"], "")["detectron2"]
    assert stage.status == "ok", stage
    assert (stage.data["cuda"], stage.data["compiler"], stage.data["extension_error"]) == ("11.3", "GCC 7.5", "")
    assert stage.data["operator_error"] == "nms_rotated kept boxes [0, 1], expected [0, 2]"
    assert stage.data["zoo_error"] == "ModuleNotFoundError: No module named 'pkg_resources'"
    facts = dataclasses.replace(BASE, detectron2=stage)
    found = {one.id: judge(one, facts, ("detectron2",)) for one in select(("E1", "E2", "E3", "E6"))}
    assert {id: finding.status for id, finding in found.items()} == {
        "E1": "warn",
        "E2": "fail",
        "E3": "fail",
        "E6": "fail",
    }
    assert found["E3"].message == "detectron2 is built for CUDA 11.3, torch 2.15.0+cu132 for CUDA 13.2"
    assert found["E6"].remedy == "pip install 'setuptools<81'"


def test_clips_are_written_and_counted(tmp_path: Path) -> None:
    with Processes(limit_s=30.0) as processes:
        written = processes.stages(["encode:h264"], str(tmp_path))
        read = processes.stages(["pyav:h264"], str(tmp_path))
        whole = (tmp_path / "h264.mp4").read_bytes()
        assert (written["encode:h264"].status, written["encode:h264"].data["frames"]) == ("ok", 12)
        assert (read["pyav:h264"].status, read["pyav:h264"].data) == ("ok", {"frames": 12, "problem": ""})
        # the index at the end is gone
        (tmp_path / "h264.mp4").write_bytes(whole[: len(whole) // 2])
        cut = processes.stages(["pyav:h264"], str(tmp_path))
    assert cut["pyav:h264"].status == "error"
    assert "InvalidDataError" in cut["pyav:h264"].error


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_a_hanging_package_takes_its_own_children_along(path: Path) -> None:
    marker = f"time.sleep(500) # {os.getpid()}"
    package(path, "torch", SLEEPER.format(inner=f"import time; {marker}"))
    started = time.monotonic()
    with Processes(limit_s=1.0) as processes:
        done = processes.stages(["torch"], str(path))
    assert done["torch"].status == "timeout"
    assert time.monotonic() - started < 20
    # a killed process may take a moment to go
    deadline = time.monotonic() + 10
    while alive(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(marker)


def test_tools(tmp_path: Path) -> None:
    with Processes(limit_s=10.0) as processes:
        assert processes.tool([sys.executable, "-c", "print('one'); print('two')"]).text == "one\ntwo"
        failed = processes.tool([sys.executable, "-c", "import sys; sys.exit('no driver')"])
        assert (failed.code, failed.text) == (1, "no driver")
        hangs = processes.tool([sys.executable, "-c", "import time; time.sleep(600)"], limit_s=0.5)
        assert (hangs.code, hangs.text) == (None, "no answer within 0.5 s")
        said = processes.tool([sys.executable, "-c", "raise ValueError('one')"])
        assert reason(said.text) == "ValueError: one"
        absent = processes.tool([str(tmp_path / "no-such-tool")])
        assert absent.code is None
        assert "No such file" in absent.text


def test_leaving_ends_what_runs(path: Path) -> None:
    package(path, "torch", "import time\ntime.sleep(600)")
    code = (
        "import sys, threading, time\n"
        "from vidbench.env.processes import Processes\n"
        "with Processes(600) as processes:\n"
        "    work = threading.Thread(target=processes.stages, args=(['torch'], sys.argv[1]))\n"
        "    work.start()\n"
        "    time.sleep(1)\n"
        "work.join(20)\n"
        "print('ended', not work.is_alive())\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "ended True\n"
