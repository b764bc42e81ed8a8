"""The run folder: a manifest, append-only records, a summary; resumed or refused."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vidbench.errors import InputError, RunConflictError, disk_errors
from vidbench.provenance import environment
from vidbench.records import Json, Records, lock_file

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
RECORDS = "clips.jsonl"
SUMMARY = "summary.json"
ENVIRONMENT = "environment.json"


def canonical(value: object) -> str:
    """JSON text that is equal for equal values: sorted keys, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_hash(value: object) -> str:
    """The sha256, in hex, of a JSON value's canonical text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_text_atomic(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the whole new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json_atomic(path: Path, value: object) -> None:
    """Write a JSON document for people and programs, atomically."""
    write_text_atomic(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Json:
    """Read a JSON object; anything else is an `InputError` that names the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object")
    return value


def command_of(folder: Path) -> str | None:
    """What made a run folder, as "attack run"; None where it is none."""
    if not (folder / MANIFEST).is_file():
        return None
    command = read_json(folder / MANIFEST).get("command")
    return command if isinstance(command, str) else None


def default_run_dir(verb: str, model: str, settings: Mapping[str, object]) -> Path:
    """`runs/<verb>-<model>-<8 hex digits of the settings>`: the same command finds its run again."""
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(model).name) or "model"
    return Path("runs") / f"{verb}-{name}-{content_hash(dict(settings))[:8]}"


@dataclass
class RunDir:
    """An open run: what is done, and where the rest is appended.

    Attributes:
        path: The folder.
        manifest: What `manifest.json` holds.
        store: The file of the finished items.
        resumed: True where the folder already held this run.
    """

    path: Path
    manifest: Json
    store: Records
    resumed: bool = False

    @property
    def records(self) -> dict[str, Json]:
        """The finished items by key; a later line of a key replaces an earlier one."""
        return self.store.by_key

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path,
        *,
        command: str,
        request: Json,
        settings: Json,
        resolved: Json,
        provenance: Json,
        overwrite: bool = False,
        records_name: str = RECORDS,
        products: Sequence[str] = (),
        on_disk: Sequence[str] = (),
    ) -> Iterator[RunDir]:
        """Create the run, or take up the one that the folder holds.

        Args:
            path: The folder, made when absent.
            command: What made it, as "model eval".
            request: All that was asked, for the record.
            settings: The part of the request that decides the result; must equal the folder's.
            resolved: What names stood for: hashes of weights and lists; must equal the folder's.
            provenance: Versions, git, device: recorded, not compared.
            overwrite: Remove the run of other settings that the folder holds.
            records_name: The file of the records; one line per clip unless the run counts otherwise.
            products: Patterns of what else the run writes into its folder; `overwrite` removes it too.
            on_disk: Fields of the records that are not kept in memory, see `Records`.

        Raises:
            RunConflictError: The folder holds a run of other settings, other files, or is in use.
        """
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        with lock_file(path / ".lock", f"another process is working in {path}"):
            fresh = {
                "schema_version": SCHEMA_VERSION,
                "command": command,
                "request": request,
                "settings": settings,
                "resolved": resolved,
                "provenance": provenance,
                "created": now(),
                "status": "new",
            }
            store = path / records_name
            run = cls._take(path, json.loads(json.dumps(fresh)), store, on_disk, products if overwrite else None)
            _note_environment(path / ENVIRONMENT)
            run._set_status("running")
            try:
                yield run
            except KeyboardInterrupt:
                run._set_status("interrupted")
                raise
            except BaseException:
                run._set_status("failed")
                raise
            run._set_status("done")

    @classmethod
    def _take(
        cls, path: Path, fresh: Json, records_path: Path, on_disk: Sequence[str], replace: Sequence[str] | None
    ) -> RunDir:
        manifest_path = path / MANIFEST
        if manifest_path.exists():
            held = read_json(manifest_path)
            differences = differing(held, fresh, ("settings", "resolved"))
            if not differences:
                held["provenance"] = fresh["provenance"]
                held["request"] = fresh["request"]
                return cls(path, held, Records.take(records_path, on_disk), resumed=True)
            if replace is None:
                listing = "; ".join(differences)
                raise RunConflictError(
                    f"{path} holds a run of other settings: {listing}",
                    "Give another --out, or --overwrite to replace that run.",
                )
            # the manifest goes last: a folder that is half emptied still says what it was
            for pattern in (*replace, records_path.name, SUMMARY, ENVIRONMENT, MANIFEST):
                for old in path.glob(pattern):
                    old.unlink()
        elif records_path.exists():
            raise RunConflictError(
                f"{path} holds {records_path.name} but no {MANIFEST}", "Give another --out, or remove that folder."
            )
        return cls(path, fresh, Records(records_path, on_disk))

    def append(self, record: Json) -> None:
        """Add one finished item; on disk as one whole line before this returns."""
        self.store.append(record)

    def finish(self, summary: Json) -> None:
        """Write the summary: a function of the records and the manifest alone."""
        write_json_atomic(self.path / SUMMARY, summary)

    def note(self, **facts: object) -> None:
        """Record facts that only the work brought to light, under `noted` in the manifest."""
        self.manifest.setdefault("noted", {}).update(facts)
        write_json_atomic(self.path / MANIFEST, self.manifest)

    def _set_status(self, status: str) -> None:
        self.manifest["status"] = status
        self.manifest["updated"] = now()
        write_json_atomic(self.path / MANIFEST, self.manifest)


def _note_environment(path: Path) -> None:
    """Add what this process runs in, where it is not what the start before it ran in."""
    held: Json = read_json(path) if path.exists() else {"schema_version": 1, "starts": []}
    now_in = environment()
    if not held["starts"] or held["starts"][-1]["environment"] != now_in:
        held["starts"].append({"at": now(), "environment": now_in})
        write_json_atomic(path, held)


def read_environment(folder: Path) -> Json:
    """What the last start of a run ran in, as `vidbench.provenance.environment` gives it.

    Raises:
        InputError: The folder is no run folder, or one of a version that did not record it.
    """
    path = folder / ENVIRONMENT
    if not path.is_file():
        raise InputError(
            f"{folder} holds no {ENVIRONMENT}",
            "Run folders have one: give the folder that a command wrote as --out, by this version or a later one.",
        )
    starts = read_json(path).get("starts")
    if not isinstance(starts, list) or not starts or not isinstance(starts[-1].get("environment"), dict):
        raise InputError(f"{path}: no environment in it")
    found: Json = starts[-1]["environment"]
    return found


def differing(held: Json, asked: Json, parts: Iterable[str]) -> list[str]:
    """What differs between two manifests, in words: schema version, command, and the values in `parts`."""
    found = []
    if held.get("schema_version") != asked["schema_version"]:
        found.append(f"schema_version: {held.get('schema_version')} there, {asked['schema_version']} asked")
    if held.get("command") != asked["command"]:
        found.append(f"command: {held.get('command')} there, {asked['command']} asked")
    for part in parts:
        old, new = held.get(part, {}), asked[part]
        for name in _ordered_union(old, new):
            if old.get(name) != new.get(name):
                found.append(f"{name}: {canonical(old.get(name))} there, {canonical(new.get(name))} asked")
    return found


def _ordered_union(first: Iterable[str], second: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*first, *second]))


def now() -> str:
    """The present moment in UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
