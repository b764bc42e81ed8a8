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
    tracker = packages.versions.get("deep-sort-realtime")
    if tracker is None:
        return Outcome("skip", "deep-sort-realtime is not installed")
    setuptools = packages.versions.get("setuptools")
    if packages.has_pkg_resources and release(setuptools or "0") < (82,):
        return Outcome("ok", f"setuptools {setuptools} has the pkg_resources that deep-sort-realtime imports")
    installed = f"setuptools {setuptools}" if setuptools else "this environment without setuptools"
    return Outcome(
        "warn",
        f"deep-sort-realtime {tracker} imports pkg_resources, which {installed} does not have (81 was the last)",
        "pip install 'setuptools<81'",
    )


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
        ("label",),
        why=(
            "The embedder of deep-sort-realtime imports pkg_resources, which setuptools dropped in version 82. "
            "vidbench brings an embedder of its own; other programs in this environment do not."
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
)
