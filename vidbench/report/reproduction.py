"""The section that says how each run came about, so that it can be repeated."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from vidbench.report.folders import Run
from vidbench.report.markup import MISSING, Html, join, table, tag
from vidbench.report.summaries import Manifest

_MOST_PROCESSES = 100_000


def reproduction_section(runs: Sequence[Run]) -> Html:
    """Per run the command, hashes, machine and state; then the versions side by side."""
    return join([*(_one(run) for run in runs), _versions(runs)])


def _one(run: Run) -> Html:
    manifest = run.manifest
    typed = command_line(manifest)
    finished = run.summary is not None
    state = tag("span", manifest.status or "unknown", class_="state" if finished else "state open")
    facts = [("Command", manifest.command), ("Created", manifest.created), ("Updated", manifest.updated)]
    facts += [
        (name.capitalize(), _plain(manifest.provenance.get(name)))
        for name in ("device", "processes", "platform", "seed", "git")
    ]
    facts += [(name, _plain(value)) for name, value in sorted(manifest.resolved.items())]
    listed = tag("dl", *(_fact(name, value) for name, value in facts if value), class_="facts")
    return join(
        [
            tag("h3", run.name, state),
            tag("pre", tag("code", typed or f"vidbench {manifest.command}")),
            None if typed else tag("p", "With the options that the request holds.", class_="note"),
            listed,
            _settings("Request", manifest.request),
            _settings("Settings", manifest.settings),
        ]
    )


def command_line(manifest: Manifest) -> str | None:
    """What to type to make the run again, where the run recorded its arguments as `argv`; by torchrun what was."""
    for holder in (manifest.request, manifest.settings):
        arguments = holder.get("argv")
        if isinstance(arguments, list) and arguments and all(isinstance(one, str) for one in arguments):
            typed = arguments if arguments[0] == "vidbench" else ["vidbench", *arguments]
            return shlex.join([*_launcher(manifest), *typed])
    return None


def _launcher(manifest: Manifest) -> list[str]:
    """What starts the processes of a run that had several; every machine of several types it."""
    total, here = (_processes(manifest, name) for name in ("processes", "processes_per_machine"))
    if total == 1:
        return []
    machines, left = divmod(total, here)
    several = ["--nnodes", str(machines)] if here > 1 and not left and machines > 1 else []
    per_machine = here if several else total
    return ["torchrun", *several, "--nproc-per-node", str(per_machine), "--no-python"]


def _processes(manifest: Manifest, name: str) -> int:
    value = manifest.provenance.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 < value <= _MOST_PROCESSES else 1


def _plain(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _fact(name: str, value: str) -> Html:
    coded = len(value) >= 40 and " " not in value
    return join([tag("dt", name), tag("dd", tag("code", value) if coded else value)])


def _settings(title: str, values: Mapping[str, Any]) -> Html | None:
    if not values:
        return None
    text = json.dumps(values, ensure_ascii=False, indent=2, sort_keys=True)
    return tag("details", tag("summary", title), tag("pre", tag("code", text)))


def _versions(runs: Sequence[Run]) -> Html | None:
    found: list[dict[str, str]] = []
    for run in runs:
        recorded = run.manifest.provenance.get("versions")
        versions = recorded if isinstance(recorded, dict) else {}
        found.append({str(name): _plain(version) or "absent" for name, version in versions.items()})
    names = list(dict.fromkeys(name for versions in found for name in versions))
    if not names:
        return None
    if all(versions == found[0] for versions in found):
        columns = ["Package", "Version"]
        rows = [[name, found[0][name]] for name in names]
    else:
        columns = ["Package", *(run.name for run in runs)]
        rows = [[name, *(versions.get(name, MISSING) for versions in found)] for name in names]
    same = "the same in every run" if len(columns) == 2 else "they differ between the runs"
    caption = "Packages" if len(runs) == 1 else f"Packages: {same}"
    return join([tag("h3", "Versions"), table(columns, rows, caption=caption)])
