"""Memory that is freed is used again rather than given back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from vidbench.memory import keep_memory

if sys.argv[1] == "kept":
    assert keep_memory()
for round in range(11):
    if round == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(16 * 2**20)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_not_faulted_in_again() -> None:
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True, timeout=120
            ).stdout
        )
        for how in ("plain", "kept")
    }
    # 128 MiB are 64 pages at the least, of 2 MiB, and 32768 of 4 KiB
    assert faults["kept"] < faults["plain"] / 10
