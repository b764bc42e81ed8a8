"""What is generated from the command tree is up to date: docs/cli.md and the completions."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_cli_reference_and_completions_are_current() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_is_in_the_guide() -> None:
    reference = (ROOT / "docs" / "cli.md").read_text()
    guide = [ROOT / "README.md", *(ROOT / "docs" / "guide").glob("*.md")]
    pages = "\n".join(path.read_text() for path in guide)
    commands = [
        line.removeprefix("## ").strip("`") for line in reference.splitlines() if line.startswith("## `vidbench ")
    ]
    assert len(commands) >= 14
    missing = [command for command in commands if len(command.split()) > 1 and command not in pages]
    assert missing == []
