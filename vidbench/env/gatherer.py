"""Gathers the facts that are asked for: child processes side by side, the rest when it is wanted."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import vidbench
from vidbench.env import requirements, trials
from vidbench.env.facts import (
    BACKENDS,
    CODECS,
    Clip,
    Decoding,
    Facts,
    PublishedFile,
    Trial,
)
from vidbench.env.loading import (
    build,
    detectron2,
    encode_clips,
    gpus,
    read_clips,
    tools,
    torch_family,
)
from vidbench.env.probes import folders, limits, machine, packages, processors, python, shadows, surroundings, weights
from vidbench.env.processes import Processes


class Gatherer:
    """Gathers parts of the facts: child processes start at once, side by side; the rest when asked for.

    Leaving the context ends what still runs.

    Args:
        parts: The parts that will be asked for.
        working: The working folder.
        published: All published files of weights.
        limit_s: Seconds that one stage of a child process may take.
        addresses: What to ask the network for.
    """

    def __init__(
        self,
        parts: Collection[str],
        working: Path,
        published: Sequence[PublishedFile],
        limit_s: float,
        addresses: Sequence[str] = (),
    ) -> None:
        self._processes = Processes(limit_s)
        self._long = Processes(max(limit_s, trials.LIMIT_S))
        self._addresses = tuple(addresses)
        self._trial_pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vidbench-trials")
        self._pool = ThreadPoolExecutor(max_workers=3, thread_name_prefix="vidbench-env")
        self._facts = Facts()
        self._clip_folder: tempfile.TemporaryDirectory[str] | None = None
        self._quick: dict[str, Callable[[], Any]] = {
            "machine": machine,
            "processors": processors,
            "folders": lambda: folders(working),
            "python": python,
            "shadows": lambda: shadows(working),
            "packages": packages,
            "requirements": lambda: requirements.read(Path(vidbench.__file__).parent),
            "weights": lambda: weights(published),
            "surroundings": surroundings,
            "limits": limits,
        }
        self._slow: dict[str, Callable[[], Any]] = {}
        self._submit(set(parts))

    def _submit(self, parts: set[str]) -> None:
        """Start the child processes; a later one may wait for an earlier one, never the other way round."""
        start = self._pool.submit
        if "gpus" in parts:
            self._slow["gpus"] = start(gpus, self._processes).result
        clips: Future[tuple[Clip, ...]] | None = None
        if parts & {"clips", "decoders"}:
            clips = start(self._encode)
            self._slow["clips"] = clips.result
        readable = clips if "decoders" in parts else None
        if parts & {"torch", "torchvision", "pytorchvideo", "decoders"}:
            family = start(self._torch_family, readable)
            for name in ("torch", "torchvision", "pytorchvideo"):
                self._slow[name] = partial(_entry, family, name)
            if readable is not None:
                readers = [start(self._read, name, readable) for name in BACKENDS if name != "torchcodec"]
                self._slow["decoders"] = partial(_all_decodings, family, readers)
        if parts & {"detectron2", "build"}:
            found = start(detectron2, self._processes)
            self._slow["detectron2"] = found.result
            self._slow["build"] = lambda: build(self._processes, found.result())
        if parts & {"compute", "codecs", "clip", "attack", "gloo", "nccl"}:
            self._submit_trials(parts, clips)
        if "hosts" in parts:
            self._slow["hosts"] = start(trials.hosts, self._addresses).result
        if "tools" in parts:
            self._slow["tools"] = start(tools, self._processes).result

    def _submit_trials(self, parts: set[str], clips: Future[tuple[Clip, ...]] | None) -> None:
        """One after the other, in an order that any number of threads gets through: each has all cores."""
        one = self._trial_pool.submit
        simple: dict[str, Callable[[Processes], Any]] = {
            "compute": trials.compute,
            "codecs": trials.codecs,
            "attack": trials.attack,
            "gloo": trials.gloo,
        }
        for name, trial in simple.items():
            if name in parts:
                self._slow[name] = one(trial, self._long).result
        if "clip" in parts:
            written = clips or self._pool.submit(self._encode)
            self._slow["clip"] = one(self._clip_trial, written).result
        if "nccl" in parts:
            self._slow["nccl"] = one(self._nccl_trial).result

    def _clip_trial(self, clips: Future[tuple[Clip, ...]]) -> Trial:
        clips.result()
        return trials.clip(self._long, Path(self._folder_name()) / "h264.mp4")

    def _nccl_trial(self) -> Trial:
        devices = self._slow["torch"]().devices if "torch" in self._slow else ()
        return trials.nccl(self._long, len(devices)) or Trial("ok")

    def _torch_family(self, clips: Future[tuple[Clip, ...]] | None) -> dict[str, Any]:
        # clips that could not be written are no reason to know nothing about torch
        written = clips.result() if clips is not None and clips.exception() is None else ()
        return torch_family(self._processes, self._folder_name(), written)

    def _read(self, backend: str, clips: Future[tuple[Clip, ...]]) -> tuple[Decoding, ...]:
        written = clips.result()
        return read_clips(self._processes, self._folder_name(), written, backend)

    def _folder_name(self) -> str:
        """Where the clips are; known once they are written."""
        return self._clip_folder.name if self._clip_folder is not None else ""

    def _encode(self) -> tuple[Clip, ...]:
        self._clip_folder = tempfile.TemporaryDirectory(prefix="vidbench-check-")
        return encode_clips(self._processes, self._clip_folder.name)

    def __enter__(self) -> Gatherer:
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.__exit__()
        self._long.__exit__()
        self._trial_pool.shutdown(wait=True, cancel_futures=True)
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._clip_folder is not None:
            self._clip_folder.cleanup()

    def facts(self, parts: Collection[str] = ()) -> Facts:
        """What is known, with `parts` gathered; waits for those that child processes tell."""
        for part in parts:
            if getattr(self._facts, part) is not None or part in self._facts.problems:
                continue
            try:
                value = redact((self._quick | self._slow)[part](), Path.home())
            except Exception as error:
                # whatever it is, the other parts are still worth having
                told = redact(f"{type(error).__name__}: {error}", Path.home())
                self._facts = dataclasses.replace(self._facts, problems={**self._facts.problems, part: told})
            else:
                changed: dict[str, Any] = {part: value}
                self._facts = dataclasses.replace(self._facts, **changed)
        return self._facts


def _entry(told: Future[dict[str, Any]], name: str) -> Any:
    return told.result()[name]


def _all_decodings(
    family: Future[dict[str, Any]], readers: Sequence[Future[tuple[Decoding, ...]]]
) -> tuple[Decoding, ...]:
    found = [*family.result()["torchcodec"], *(one for reader in readers for one in reader.result())]
    order = list(BACKENDS)
    return tuple(sorted(found, key=lambda one: (CODECS.index(one.codec), order.index(one.backend))))


def redact(value: Any, home: Path) -> Any:
    """The same value with the home folder written as `~` in every text."""
    if len(home.parts) < 2:
        return value
    if isinstance(value, str):
        return re.sub(re.escape(str(home)) + r"(?![\w.-])", "~", value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {part.name: redact(getattr(value, part.name), home) for part in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    if isinstance(value, Mapping):
        return {key: redact(item, home) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(redact(item, home) for item in value)
    return value
