"""Write docs/cli.md and completions/ from the command tree; `--check` says whether they are current."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHELLS = {"bash": "vidbench.bash", "zsh": "_vidbench", "fish": "vidbench.fish"}
# the help as everybody gets it: no colours, one width
PLAIN = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb", "LANG": "C.UTF-8"}


def vidbench(*words: str, **more: str) -> str:
    """What a command line prints."""
    done = subprocess.run(
        [sys.executable, "-c", "from vidbench.cli.app import run; run()", *words],
        capture_output=True, text=True, check=True, env={**PLAIN, **more},
    )  # fmt: skip
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def tree() -> list[list[str]]:
    """All command lines, groups before their commands, in the order of the help."""
    from vidbench.cli.app import app

    found: list[list[str]] = [[]]
    for command in app.registered_commands:
        found.append([command.name or ""])
    for group in app.registered_groups:
        found.append([group.name or ""])
        for command in group.typer_instance.registered_commands if group.typer_instance else []:
            name = command.name or command.callback.__name__.strip("_")
            found.append([group.name or "", name])
    return found


def reference() -> str:
    """The text of docs/cli.md."""
    parts = [
        "# Commands",
        "Generated from the command tree by `python docs/generate.py`; a test keeps it current.",
    ]
    for words in tree():
        title = " ".join(["vidbench", *words])
        parts += [f"## `{title}`", f"```text\n{vidbench(*words, '--help')}\n```"]
    return "\n\n".join(parts) + "\n"


def completion(shell: str) -> str:
    """The completion script of a shell."""
    return vidbench(_VIDBENCH_COMPLETE=f"source_{shell}") + "\n"


def main() -> int:
    """Write what is out of date, or only say so."""
    wanted = {ROOT / "docs" / "cli.md": reference()}
    wanted |= {ROOT / "completions" / name: completion(shell) for shell, name in SHELLS.items()}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(f"{'stale' if '--check' in sys.argv else 'wrote'}: {path.relative_to(ROOT)}")
        if "--check" not in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path])
    if stale and "--check" in sys.argv:
        print("run: .venv/bin/python docs/generate.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
