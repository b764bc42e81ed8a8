"""Facts about the machine that runs the tests, and about folders made for them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vidbench.env import loading, probes
from vidbench.env.facts import PARTS, SLOW_PARTS, Facts, Folder, Gpu, Gpus, PublishedFile, Shadow, WeightFile
from vidbench.env.gatherer import Gatherer, redact
from vidbench.env.loading import parse_cuda, parse_gpus
from vidbench.env.processes import Processes, Stage
from vidbench.net.transfer import Received, record_path, write_record

ROOT = Path(__file__).parents[3]


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, vidbench.env.check, vidbench.env.probes, vidbench.cli.env\n"
        "print(sorted({'torch', 'torchvision', 'numpy', 'pydantic', 'av', 'cv2', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_this_machine() -> None:
    machine = probes.machine()
    assert machine.system == os.uname().sysname
    assert machine.architecture == os.uname().machine
    processors = probes.processors()
    assert 0 < processors.usable_cpus <= processors.cpus
    assert (processors.usable_memory_bytes or 0) > 10**8
    python = probes.python()
    assert tuple(int(part) for part in python.version.split(".")[:2]) == sys.version_info[:2]
    assert python.bits == 64


def test_limits_of_a_control_group(tmp_path: Path) -> None:
    groups, proc = tmp_path / "groups", tmp_path / "proc"
    own = groups / "user.slice" / "job"
    own.mkdir(parents=True)
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("0::/user.slice/job\n")
    (own / "cpu.max").write_text("max 100000\n")
    (own / "memory.max").write_text("max\n")
    free = probes.processors(proc, groups)
    assert (free.quota, free.memory_limit_bytes) == (None, None)
    (own / "cpu.max").write_text("400000 100000\n")
    (own / "memory.max").write_text(f"{8 * 2**30}\n")
    # a limit further up holds, too
    (own.parent / "cpu.max").write_text("150000 100000\n")
    (own.parent / "memory.max").write_text(f"{2 * 2**30}\n")
    limited = probes.processors(proc, groups)
    assert (limited.quota, limited.memory_limit_bytes) == (1.5, 2 * 2**30)
    assert limited.usable_cpus == min(1.5, limited.allowed)


def test_limits_of_a_control_group_of_version_1(tmp_path: Path) -> None:
    for name, text in {
        "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "9223372036854771712",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert probes.processors(tmp_path, tmp_path).quota is None
    assert probes.processors(tmp_path, tmp_path).memory_limit_bytes is None
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("250000")
    (tmp_path / "memory/memory.limit_in_bytes").write_text("1073741824")
    assert probes.processors(tmp_path, tmp_path).quota == 2.5
    assert probes.processors(tmp_path, tmp_path).memory_limit_bytes == 2**30


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDBENCH_HOME", str(tmp_path / "not" / "yet"))
    found = {folder.role: folder for folder in probes.folders(tmp_path)}
    assert list(found) == ["working", "runs", "cache", "temporary"]
    for role in ("working", "runs", "cache"):
        # the nearest folder that exists
        assert found[role].path == str(tmp_path)
        assert found[role].problem == ""
        assert (found[role].free_bytes or 0) > 0
    # nothing is left behind, and nothing is made
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").write_text("a file")
    monkeypatch.setenv("VIDBENCH_HOME", "/proc/vidbench")
    found = {folder.role: folder.problem for folder in probes.folders(tmp_path)}
    assert found["working"] == ""
    assert found["runs"] == "it is no folder"
    if Path("/proc").is_dir():
        assert found["cache"] != ""


def test_a_folder_without_permission(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    assert probes.folders(tmp_path)[0].problem == "Permission denied"
    tmp_path.chmod(0o700)


def test_shadows(tmp_path: Path) -> None:
    (tmp_path / "art.py").write_text("")
    (tmp_path / "csv.py").write_text("")
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("")
    # a folder without __init__.py gives way to the installed package
    (tmp_path / "av").mkdir()
    assert probes.shadows(tmp_path) == (
        Shadow("torch", "torch/__init__.py", False),
        Shadow("art", "art.py", False),
        Shadow("csv", "csv.py", False),
    )


def test_shadows_that_python_finds_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "art.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert probes.shadows(tmp_path) == (Shadow("art", "art.py", True),)


def test_packages() -> None:
    found = probes.packages()
    assert found.versions["torch"].split(".")[0].isdigit()
    assert found.has_packaging
    assert "no-such-package" not in found.versions


def test_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDBENCH_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "X3D_M.pyth").write_bytes(b"12345")
    (tmp_path / "weights" / "X3D_S.pyth.part").write_bytes(b"123")
    found = probes.weights([PublishedFile("x3d_s", "X3D_S.pyth"), PublishedFile("x3d_m", "X3D_M.pyth")])
    assert found.folder == str(tmp_path / "weights")
    assert found.files == (WeightFile("x3d_s", "X3D_S.pyth", None, 3), WeightFile("x3d_m", "X3D_M.pyth", 5))


def test_damaged_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDBENCH_HOME", str(tmp_path))
    target = tmp_path / "weights" / "a.pyth"
    target.parent.mkdir()

    def problem(size: int | None = None, checksum: str = "") -> str:
        return probes.weights([PublishedFile("a", "a.pyth", size, checksum)]).files[0].problem

    target.write_bytes(b"12345")
    checksum = hashlib.sha256(b"12345").hexdigest()
    write_record(target, Received("https://example.org/a.pyth", 5, checksum, "", ""))
    assert problem() == ""
    target.write_bytes(b"12346")
    assert problem() == "has another sha256 than when it came"
    target.write_bytes(b"123")
    assert problem() == "has 3 of 5 bytes"
    target.write_bytes(b"")
    assert problem() == "is an empty file"
    # what the catalogue knows goes before what was recorded
    target.write_bytes(b"1234567")
    assert problem(7, hashlib.sha256(b"1234567").hexdigest()) == ""
    # a record that says nothing is no reason to doubt the file
    record_path(target).write_text("{torn")
    assert problem() == ""
    # a large cache is not read to its end
    write_record(target, Received("https://example.org/a.pyth", 7, checksum, "", ""))
    monkeypatch.setattr(probes, "_HASHED_BYTES", 6)
    found = probes.weights([PublishedFile("a", "a.pyth")])
    assert (found.files[0].problem, found.unhashed) == ("", 1)


def test_the_answer_of_nvidia_smi() -> None:
    text = "NVIDIA H200, 580.95.05, 143771, 9.0, 140000\nTesla K80, 470.256.02, [N/A], [N/A]\n\n"
    assert parse_gpus(text) == (
        Gpu("NVIDIA H200", "580.95.05", 143771, "9.0", 140000),
        Gpu("Tesla K80", "470.256.02", None, ""),
    )
    assert parse_gpus("Tesla V100-SXM2-16GB, 390.48, 16160") == (Gpu("Tesla V100-SXM2-16GB", "390.48", 16160, ""),)
    assert parse_gpus("") == ()
    banner = "| NVIDIA-SMI 580.95.05              Driver Version: 580.95.05      CUDA Version: 13.0     |"
    assert parse_cuda(banner) == "13.0"
    assert parse_cuda("| NVIDIA-SMI 590.10   KMD Version: 590.10   CUDA UMD Version: 13.1 |") == "13.1"
    assert parse_cuda("nothing of the kind") == ""


def tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_tools_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with Processes(5.0) as processes:
        assert loading.gpus(processes) == Gpus(False)
        tool(tmp_path, "nvidia-smi", 'echo "NVIDIA-SMI has failed because it could not talk to the driver."; exit 9')
        assert loading.gpus(processes).error.startswith("NVIDIA-SMI has failed")
        tool(
            tmp_path,
            "nvidia-smi",
            'case "$1" in *compute_cap*) echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2;;\n'
            '--query-gpu*) echo "Tesla V100, 450.1, 16160";; *) echo "| CUDA Version: 11.0 |";; esac',
        )
        assert loading.gpus(processes) == Gpus(True, "", (Gpu("Tesla V100", "450.1", 16160, ""),), "11.0")
        assert [found.path for found in loading.tools(processes)] == ["", "", "", ""]
        tool(tmp_path, "ffmpeg", 'echo "ffmpeg version 5.1.9-0+deb12u1 Copyright (c)"; echo "built with gcc"')
        tool(tmp_path, "ffprobe", "exit 1")
        tool(tmp_path, "deno", 'echo "deno 2.9.1 (stable, release, x86_64-unknown-linux-gnu)"; echo "v8 14.2"')
        tool(tmp_path, "node", 'echo "v24.11.1"')
        versions = [found.version for found in loading.tools(processes)]
        assert versions == ["5.1.9-0+deb12u1", "of unknown version", "2.9.1", "24.11.1"]


def test_home_folders_are_not_told() -> None:
    home = Path("/home/al")
    facts = Facts(
        folders=(Folder("cache", "/home/al/.cache/vidbench", 1, 1, "denied: /home/al"),),
        torchvision=Stage("error", "OSError: /home/alice/x and /home/al/y", data={"path": "/home/al"}),
        problems={"torch": "no /home/al/z"},
    )
    told = redact(facts, home)
    assert told.folders == (Folder("cache", "~/.cache/vidbench", 1, 1, "denied: ~"),)
    assert told.torchvision == Stage("error", "OSError: /home/alice/x and ~/y", data={"path": "~"})
    assert told.problems == {"torch": "no ~/z"}
    assert redact("/a", Path("/")) == "/a"


def test_a_part_that_cannot_be_gathered_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a file where the folder for temporary files should be
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with Gatherer({"python", "clips"}, tmp_path, (), 5.0) as gatherer:
        facts = gatherer.facts(["clips", "python"])
    assert facts.clips is None
    assert facts.problems["clips"].startswith("NotADirectoryError")
    assert facts.python is not None


def test_facts_can_be_written_down(tmp_path: Path) -> None:
    from vidbench.cli.console import jsonable

    quick = [part for part in PARTS if part not in SLOW_PARTS]
    with Gatherer(quick, tmp_path, [PublishedFile("x3d_m", "X3D_M.pyth")], 5.0) as gatherer:
        facts = gatherer.facts(quick)
    assert not facts.problems
    assert set(json.loads(json.dumps(jsonable(facts)))) == {*PARTS, "problems"}
