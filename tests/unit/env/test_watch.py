"""Samples of devices: what nvidia-smi says, and this machine."""

from __future__ import annotations

import csv
from pathlib import Path

from vidbench.env.watch import COLUMNS, Log, Process, parse_gpus, sample, watch

TWO = """\
GPU-1, 0, NVIDIA H200, 97, 70144, 143771, 61, 412.50
GPU-2, 1, NVIDIA H200, [N/A], 4, 143771, 33, [Not Supported]
"""
APPS = "GPU-1, 4242, /usr/bin/python3, 70000\nGPU-1, 4243, [Insufficient Permissions], [N/A]\n"


def test_the_answers_of_nvidia_smi() -> None:
    busy, idle = parse_gpus(TWO, APPS)
    assert (busy.device, busy.name, busy.utilisation) == ("cuda:0", "NVIDIA H200", 97.0)
    assert (busy.memory_used_mib, busy.memory_total_mib, busy.temperature_c, busy.power_w) == (70144, 143771, 61, 412.5)
    assert busy.processes == (Process(4242, "python3", 70000), Process(4243, "[Insufficient Permissions]", None))
    assert (idle.utilisation, idle.power_w, idle.processes) == (None, None, ())
    assert parse_gpus("no devices were found\n") == ()


def test_this_machine_has_something_to_tell() -> None:
    found = sample().devices
    assert found
    for one in found:
        assert one.memory_total_mib is not None
        assert one.memory_used_mib is not None
        assert 0 <= one.memory_used_mib <= one.memory_total_mib


def test_a_log_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for count in (1, 2):
        log = Log(path)
        for one in watch(0.01, count):
            log.add(one)
    rows = list(csv.reader(path.read_text().splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 1 + 3 * len(sample().devices)
    assert all(len(row) == len(COLUMNS) for row in rows)
