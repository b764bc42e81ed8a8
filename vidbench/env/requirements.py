"""What vidbench's own metadata asks for, beside what is installed; works without `packaging`."""

from __future__ import annotations

import os
import platform
import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;\s*(.*))?$")
_CLAUSE = re.compile(r"^\s*(~=|==|!=|<=|>=|<|>)\s*([^\s]+)\s*$")
_TOKEN = re.compile(r"""\s*(\(|\)|and\b|or\b|not\s+in\b|in\b|~=|===|==|!=|<=|>=|<|>|'[^']*'|"[^"]*"|[A-Za-z_.]+)""")


@dataclass(frozen=True)
class Requirement:
    """One requirement of vidbench on this machine.

    Attributes:
        name: The distribution.
        specifier: The versions asked for, as ">=2.10".
        extra: The extra that asks; empty for the core.
        applies: Whether its marker holds on this platform.
        installed: The installed version; empty where absent.
        met: Whether `installed` is one of those asked for.
    """

    name: str
    specifier: str
    extra: str
    applies: bool
    installed: str
    met: bool


@dataclass(frozen=True)
class Requirements:
    """All requirements, and where they were read.

    Attributes:
        source: "metadata" of an installed vidbench, "pyproject.toml" of a checkout, or "" for neither.
        items: Core and extras, without `all` and `dev`.
    """

    source: str
    items: tuple[Requirement, ...]


def read(package_folder: Path) -> Requirements:
    """Read vidbench's requirements; `package_folder` is where its modules lie."""
    try:
        lines = metadata.requires("vidbench") or []
        source = "metadata"
    except metadata.PackageNotFoundError:
        lines = _from_checkout(package_folder.parent / "pyproject.toml")
        source = "pyproject.toml" if lines else ""
    return Requirements(source, tuple(item for line in lines if (item := look_up(line)) is not None))


def _from_checkout(path: Path) -> list[str]:
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return []
    if project.get("name") != "vidbench":
        return []
    lines = list(project.get("dependencies", []))
    for extra, wanted in project.get("optional-dependencies", {}).items():
        for line in wanted:
            name, _, marker = line.partition(";")
            lines.append(f"{name}; ({marker}) and extra == '{extra}'" if marker else f"{name}; extra == '{extra}'")
    return lines


def look_up(line: str) -> Requirement | None:
    """One line of requirements beside what is installed; None for those of `all` and `dev`."""
    found = _REQUIREMENT.match(line)
    if found is None:
        return None
    name, specifier, marker = found[1], re.sub(r"\s+", "", found[2]), found[3] or ""
    named = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", marker)
    extra = named[1] if named else ""
    if extra in ("all", "dev") or name == "vidbench":
        return None
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        installed = ""
    return Requirement(
        name=name,
        specifier=specifier,
        extra=extra,
        applies=marker_holds(marker, extra),
        installed=installed,
        met=bool(installed) and version_fits(installed, specifier),
    )


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version: (2, 15, 0) of "2.15.0+cu132", (82, 1) of "82.1rc2"."""
    found = re.match(r"\s*v?(?:\d+!)?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def version_fits(version: str, specifier: str) -> bool:
    """Whether a version is one of those asked for; by `packaging` where that can be imported."""
    try:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
        from packaging.version import InvalidVersion
    except ImportError:
        return version_fits_plainly(version, specifier)
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return version_fits_plainly(version, specifier)


def version_fits_plainly(version: str, specifier: str) -> bool:
    """The same by the numbers of the release alone: a pre-release counts as its release."""
    have = release(version)
    return all(_clause_holds(have, clause) for clause in specifier.split(",") if clause.strip())


def _clause_holds(have: tuple[int, ...], clause: str) -> bool:
    found = _CLAUSE.match(clause)
    if found is None:
        return False
    operator, text = found[1], found[2]
    wanted = release(text)
    if text.endswith(".*"):
        return (have[: len(wanted)] == wanted) == (operator == "==")
    if operator == "~=":
        return _padded(have, wanted) >= wanted and have[: len(wanted) - 1] == wanted[:-1]
    left, right = _padded(have, wanted), _padded(wanted, have)
    compare: dict[str, Callable[[], bool]] = {
        "==": lambda: left == right,
        "!=": lambda: left != right,
        "<=": lambda: left <= right,
        ">=": lambda: left >= right,
        "<": lambda: left < right,
        ">": lambda: left > right,
    }
    return compare[operator]()


def _padded(numbers: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return numbers + (0,) * (len(other) - len(numbers))


def environment(extra: str) -> dict[str, str]:
    """The variables of environment markers (PEP 508) that can be told without packages."""
    return {
        "extra": extra,
        "os_name": os.name,
        "sys_platform": sys.platform,
        "platform_machine": platform.machine(),
        "platform_system": platform.system(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "python_full_version": platform.python_version(),
        "implementation_name": sys.implementation.name,
        "platform_python_implementation": platform.python_implementation(),
    }


def marker_holds(marker: str, extra: str) -> bool:
    """Whether an environment marker (PEP 508) holds here for an extra; an unreadable one does."""
    if not marker.strip():
        return True
    try:
        return _Marker(marker, environment(extra)).holds()
    except (ValueError, LookupError):
        return True


class _Marker:
    """A reader of `a == 'b' and (c or d)`."""

    def __init__(self, text: str, variables: dict[str, str]) -> None:
        self._variables = variables
        self._tokens: list[str] = []
        position = 0
        text = text.strip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise ValueError(text)
            self._tokens.append(" ".join(found[1].split()))
            position = found.end()
        self._next = 0

    def holds(self) -> bool:
        value = self._any()
        if self._next != len(self._tokens):
            raise ValueError("words are left over")
        return value

    def _any(self) -> bool:
        value = self._all()
        while self._peek() == "or":
            self._take()
            right = self._all()
            value = value or right
        return value

    def _all(self) -> bool:
        value = self._term()
        while self._peek() == "and":
            self._take()
            right = self._term()
            value = value and right
        return value

    def _term(self) -> bool:
        if self._peek() == "(":
            self._take()
            value = self._any()
            if self._take() != ")":
                raise ValueError("a bracket is open")
            return value
        left, operator, right = self._value(), self._take(), self._value()
        if operator == "in":
            return left in right
        if operator == "not in":
            return left not in right
        if release(left) and release(right):
            return version_fits(left, operator + right)
        if operator == "==":
            return left == right
        if operator == "!=":
            return left != right
        raise ValueError(operator)

    def _value(self) -> str:
        token = self._take()
        return token[1:-1] if token[0] in "'\"" else self._variables[token]

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        self._next += 1
        return self._tokens[self._next - 1]
