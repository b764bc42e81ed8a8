"""How long `vidbench --help` takes, beside a bare interpreter."""

from __future__ import annotations

import subprocess
import sys

from timing import in_turns, report


def main() -> None:
    """Ten turns, after one that warms the disk."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "vidbench --help": [sys.executable, "-m", "vidbench", "--help"],
    }
    work = {
        name: (lambda words=words: subprocess.run(words, stdout=subprocess.DEVNULL, check=True))
        for name, words in commands.items()
    }
    in_turns(work, 1)
    report("Start", in_turns(work, 10), "python -c pass", [])


if __name__ == "__main__":
    main()
