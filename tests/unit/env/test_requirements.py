"""vidbench's own requirements, compared with what is installed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement as PackagingRequirement

import vidbench
from vidbench.env import requirements
from vidbench.env.requirements import look_up, marker_holds, release, version_fits, version_fits_plainly

PACKAGE = Path(vidbench.__file__).parent


def test_the_numbers_of_a_version() -> None:
    assert release("2.15.0+cu132") == (2, 15, 0)
    assert release("82.1rc2") == (82, 1)
    assert release("0.1.5.post20221221") == (0, 1, 5)
    assert release("") == ()


@pytest.mark.parametrize(
    ("version", "specifier", "fits"),
    [
        ("2.15.0+cu132", ">=2.10", True),
        ("2.9.1", ">=2.10", False),
        ("0.29.2", ">=0.29,<0.30", True),
        ("0.30.0", ">=0.29,<0.30", False),
        ("80.10.2", "<81", True),
        ("81.0", "<81", False),
        ("2", "==2.0", True),
        ("2.1", "==2.0", False),
        ("2.1", "!=2.0", True),
        ("2.5.7", "==2.5.*", True),
        ("2.6", "==2.5.*", False),
        ("2.6", "!=2.5.*", True),
        ("1.9", "~=1.4", True),
        ("2.0", "~=1.4", False),
        ("1.4.5", "~=1.4.2", True),
        ("1.5", "~=1.4.2", False),
        ("3", ">2", True),
        ("2", "<=2.0.0", True),
        ("1", "", True),
    ],
)
def test_versions_fit_with_and_without_packaging(version: str, specifier: str, fits: bool) -> None:
    assert version_fits(version, specifier) is fits
    assert version_fits_plainly(version, specifier) is fits


@pytest.mark.parametrize(
    "marker",
    [
        "sys_platform == 'linux'",
        "sys_platform != 'linux'",
        "sys_platform == 'linux' and platform_machine == 'x86_64'",
        "sys_platform == 'darwin' or platform_machine == 'x86_64'",
        "(sys_platform == 'linux' and platform_machine == 'x86_64') and extra == 'decord'",
        "(sys_platform == 'nowhere' or python_version >= '3.11') and extra == 'decord'",
        "python_version < '3.10'",
        "python_version >= '3.9'",
        "extra == 'label'",
        "'lin' in sys_platform",
        "sys_platform not in 'win32 cygwin'",
    ],
)
def test_markers_hold_as_packaging_says(marker: str) -> None:
    assert marker_holds(marker, "decord") is Marker(marker).evaluate({"extra": "decord"})


@pytest.mark.parametrize("marker", ["", "sys_platform ==", "(sys_platform == 'linux'", "nonsense == '1'", "%"])
def test_a_marker_that_cannot_be_read_counts_as_holding(marker: str) -> None:
    assert marker_holds(marker, "") is True


def test_a_line_of_requirements() -> None:
    found = look_up("pytest >= 1.0, < 1000")
    assert found is not None
    assert (found.name, found.specifier, found.extra, found.applies, found.met) == (
        "pytest",
        ">=1.0,<1000",
        "",
        True,
        True,
    )
    assert found.installed == metadata.version("pytest")
    absent = look_up("no-such-package[fast]>=2; sys_platform == 'nowhere' and extra == 'label'")
    assert absent is not None
    assert (absent.name, absent.extra, absent.applies, absent.installed, absent.met) == (
        "no-such-package",
        "label",
        False,
        "",
        False,
    )
    assert look_up("hypothesis>=6; extra == 'dev'") is None
    assert look_up("vidbench[label]; extra == 'all'") is None


def test_the_project_asks_for_what_its_pyproject_says() -> None:
    pyproject = PACKAGE.parent / "pyproject.toml"
    if not pyproject.exists():
        pytest.skip("not a checkout")
    project = tomllib.loads(pyproject.read_text())["project"]
    read = requirements.read(PACKAGE)
    core = {item.name: item for item in read.items if not item.extra}
    wanted = [PackagingRequirement(line) for line in project["dependencies"]]
    assert set(core) == {one.name for one in wanted}
    for one in wanted:
        assert core[one.name].met is one.specifier.contains(metadata.version(one.name), prereleases=True), one
    assert {item.extra for item in read.items} == {"", *project["optional-dependencies"]} - {"all", "dev"}


def test_a_folder_that_is_no_checkout(tmp_path: Path) -> None:
    try:
        metadata.requires("vidbench")
    except metadata.PackageNotFoundError:
        (tmp_path / "pyproject.toml").write_text("[project]\nname = 'other'\ndependencies = ['torch']\n")
        assert requirements.read(tmp_path / "vidbench") == requirements.Requirements("", ())
    else:
        assert requirements.read(tmp_path / "vidbench").source == "metadata"


def test_it_works_where_packaging_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "packaging").mkdir()
    (tmp_path / "packaging" / "__init__.py").write_text("raise ImportError('broken on purpose')\n")
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from vidbench.env.requirements import look_up\n"
        "print(look_up('pytest>=1.0').met, look_up('pytest>=1000').met)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path), str(PACKAGE.parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True False\n"
