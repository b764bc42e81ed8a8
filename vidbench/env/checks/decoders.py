"""Checks of what reads videos."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date

from vidbench.env.facts import BACKENDS, Decoding, Facts
from vidbench.env.findings import (
    Check,
    Outcome,
    known,
    listed,
    went,
)
from vidbench.env.requirements import release

GROUP = "Decoders"

CODEC_NAMES = {"h264": "H.264", "av1": "AV1"}


def _ffmpeg(facts: Facts) -> Outcome:
    said = []
    for tool in known(facts.tools)[:2]:
        said.append(f"{tool.name} {tool.version}" if tool.path else f"no {tool.name}")
    return Outcome("info", f"{', '.join(said)}; not needed, PyAV brings its own")


_CXX = re.compile(r"((?:GLIBCXX|CXXABI)_[\d.]+)' not found")

# YouTube changes what yt-dlp has to know every few weeks
_FRESH_DAYS = 60


def _youtube(facts: Facts) -> Outcome:
    packages, surroundings = known(facts.packages), known(facts.surroundings)
    version = packages.versions.get("yt-dlp")
    if version is None:
        return Outcome("skip", "yt-dlp is not installed")
    remedy = "pip install --upgrade 'yt-dlp[default]'"
    runtimes = [tool for tool in known(facts.tools)[2:] if tool.path]
    said = f"yt-dlp {version}"
    if not surroundings.day:
        return Outcome("info", f"{said}, whose age cannot be told")
    year, month, day = (*release(version), 1, 1, 1)[:3]
    try:
        age = (date.fromisoformat(surroundings.day) - date(year, month, day)).days
    except ValueError:
        return Outcome("info", f"{said}, whose age cannot be told")
    if age > _FRESH_DAYS:
        return Outcome(
            "warn", f"{said} is {age} days old; YouTube often refuses one of more than {_FRESH_DAYS}", remedy
        )
    if not runtimes:
        return Outcome(
            "warn",
            f"{said} finds neither deno nor node, without which YouTube gives few formats",
            "curl -fsSL https://deno.land/install.sh | sh",
        )
    if "yt-dlp-ejs" not in packages.versions:
        return Outcome("warn", f"{said} without yt-dlp-ejs, its scripts for YouTube", remedy)
    return Outcome("ok", f"{said}, {age} days old, with {runtimes[0].name} {runtimes[0].version}")


def _decoders(facts: Facts) -> Outcome:
    clips, decodings = known(facts.clips), known(facts.decoders)
    first = clips[0]
    if not first.frames:
        if first.stage.status == "absent":
            return Outcome("fail", "PyAV is not installed, no video can be read", "pip install 'av>=15'")
        said = first.problem if first.stage.status == "ok" else went(first.stage, "PyAV")
        return Outcome("fail", f"no H.264 clip could be written: {said}", "pip install --force-reinstall av")
    # without torch, torchcodec was not reached
    present = [one for one in decodings if one.stage.status not in ("absent", "unreached")]
    bad = [one for one in present if not _reads_all(one)]
    if not bad:
        readers = {clip.codec: [BACKENDS[one.backend] for one in present if one.codec == clip.codec] for clip in clips}
        read = "; ".join(f"{CODEC_NAMES[codec]} by {listed(names)}" for codec, names in readers.items() if names)
        unwritten = [CODEC_NAMES[clip.codec] for clip in clips if not clip.frames]
        tail = f"; {listed(unwritten)} not tried, PyAV does not write it" if unwritten else ""
        return Outcome("ok", f"all {first.frames} frames are read of {read}{tail}")
    said = "; ".join(_failures([one for one in bad if one.backend == name]) for name in _names(bad))
    if any(one.backend == "pyav" and one.codec == "h264" for one in bad):
        return Outcome("fail", said, "pip install --force-reinstall av")
    for codec in dict.fromkeys(one.codec for one in bad):
        # OpenCV is what other packages read videos with, no decoder of ours
        good = [one.backend for one in present if one.codec == codec and _reads_all(one) and one.backend != "opencv"]
        if good:
            said += f"; for {CODEC_NAMES[codec]} use {listed([BACKENDS[name] for name in good], 'or')}"
    return Outcome("warn", said, _libraries_for(bad, known(facts.machine).system == "Darwin"))


def _libraries_for(bad: Sequence[Decoding], mac: bool) -> str:
    """The command that brings the system libraries that decoders miss; empty where none is missed."""
    errors = " ".join(one.stage.error for one in bad)
    if _CXX.search(errors):
        return ""
    if "Could not load libtorchcodec" in errors:
        return "brew install ffmpeg" if mac else "sudo apt install ffmpeg"
    return "sudo apt install libgl1" if "libGL.so.1" in errors else ""


def _encoder(facts: Facts) -> Outcome:
    clips = {clip.codec: clip for clip in known(facts.clips)}
    used = clips["h264"].encoder
    if not used:
        return Outcome("skip", "PyAV wrote no H.264 clip")
    if used != "libx264":
        return Outcome(
            "fail",
            f"PyAV here writes H.264 by {used}; what vidbench cuts and encodes takes libx264, which PyAV's wheels have",
            "pip install --force-reinstall --only-binary av av",
        )
    return Outcome("ok", "PyAV writes H.264 by libx264")


def _cxx_library(facts: Facts) -> Outcome:
    stages = {"torchvision": known(facts.torchvision), "torch": known(facts.torch).stage}
    stages |= {BACKENDS[one.backend]: one.stage for one in known(facts.decoders)}
    for name, stage in stages.items():
        found = _CXX.search(stage.error)
        if found:
            return Outcome(
                "warn",
                f"{name} wants {found[1]}, which the C++ library that is found first does not have",
                "conda install -c conda-forge libstdcxx-ng",
            )
    return Outcome("ok", "no package asks for a newer C++ library")


def _names(decodings: Iterable[Decoding]) -> list[str]:
    return list(dict.fromkeys(one.backend for one in decodings))


def _reads_all(one: Decoding) -> bool:
    return one.stage.status == "ok" and not one.problem and one.frames == one.expected


def _failures(bad: Sequence[Decoding]) -> str:
    """What one decoder made of the clips that it does not read, in a few words."""
    name = BACKENDS[bad[0].backend]
    errors = " ".join(one.stage.error for one in bad)
    if _CXX.search(errors):
        return f"{name} does not load (see F5)"
    if "Could not load libtorchcodec" in errors:
        return f"{name} does not find the shared libraries of FFmpeg 4 to 9"
    return ", ".join(_failure(name, one) for one in bad)


def _failure(name: str, one: Decoding) -> str:
    codec = CODEC_NAMES[one.codec]
    if one.stage.status == "ok":
        why = f" ({_brief(one.problem)})" if one.problem else ""
        return f"{name} reads {one.frames} of {one.expected} frames of {codec}{why}"
    if one.stage.status == "died":
        return f"{name} takes its process down on {codec} ({_brief(one.stage.error)})"
    if one.stage.status == "timeout":
        return f"{name} hangs on {codec} ({one.stage.error})"
    return f"{name} does not read {codec} ({_brief(one.stage.error)})"


def _brief(error: str) -> str:
    """An error without decord's time and source line, at most 80 characters."""
    text = re.sub(r"\[\d\d:\d\d:\d\d\] \S+:\d+: ", "", error)
    return text if len(text) <= 80 else f"{text[:77]}..."


CHECKS = (
    Check(
        "F7",
        "yt-dlp",
        GROUP,
        ("packages", "tools", "surroundings"),
        _youtube,
        ("data",),
        why=(
            "YouTube changes often, and refuses programs that do not follow: yt-dlp has to be new, and needs a runtime "
            "of "
            "JavaScript and its own scripts."
        ),
    ),
    Check(
        "F1",
        "ffmpeg",
        GROUP,
        ("tools",),
        _ffmpeg,
        ("data",),
        why=(
            "PyAV brings its own FFmpeg. The programs ffmpeg and ffprobe are used by `data cut` where they are "
            "asked for."
        ),
    ),
    Check(
        "F2",
        "encoder",
        GROUP,
        ("clips",),
        _encoder,
        ("data", "attack"),
        why="Cut videos and stored attacks are H.264 by libx264, which a PyAV of conda or of a distribution may lack.",
    ),
    Check(
        "F5",
        "C++ library",
        GROUP,
        ("torch", "torchvision", "decoders"),
        _cxx_library,
        why=(
            "Packages that were compiled elsewhere may ask for a newer libstdc++ than the system or conda has: "
            "`version GLIBCXX_3.4.30 not found`."
        ),
    ),
    Check(
        "F3",
        "decoders",
        GROUP,
        ("machine", "clips", "decoders"),
        _decoders,
        why=(
            "A decoder can open a video, report no error, and read no frame. Each is therefore shown a clip of "
            "every codec, and its frames are counted."
        ),
    ),
)
