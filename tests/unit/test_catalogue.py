"""Names to objects: laziness, near misses, missing packages, plug-ins."""

import sys
from pathlib import Path

import pytest

from vidbench.catalogue import Catalogue, Entry
from vidbench.errors import InputError, MissingError, UnknownNameError


def fails(name: str):
    def load() -> object:
        raise ModuleNotFoundError(name=name)

    return load


def test_listing_loads_nothing() -> None:
    catalogue = Catalogue(
        "thing", [Entry("a", "the first", fails("nope"), "label"), Entry("b", "the second", lambda: 2)]
    )
    assert catalogue.names() == ("a", "b")
    assert [entry.summary for entry in catalogue] == ["the first", "the second"]
    assert catalogue.get("b") == 2


def test_an_unknown_name_offers_the_nearest() -> None:
    catalogue = Catalogue("model", [Entry("x3d_m", "", lambda: 1), Entry("x3d_s", "", lambda: 1)])
    with pytest.raises(UnknownNameError, match="unknown model 'x3dm'") as caught:
        catalogue.get("x3dm")
    assert "x3d_m" in caught.value.remedy
    assert caught.value.exit_code == 3


def test_a_missing_package_names_its_extra() -> None:
    catalogue = Catalogue("detector", [Entry("yolo", "", fails("ultralytics"), "label")])
    with pytest.raises(MissingError, match="ultralytics") as caught:
        catalogue.get("yolo")
    assert caught.value.remedy == "pip install 'vidbench[label]'"
    core = Catalogue("detector", [Entry("own", "", fails("torch"))])
    with pytest.raises(ModuleNotFoundError):
        core.get("own")


def test_two_entries_of_one_name_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two thing entries"):
        Catalogue("thing", [Entry("a", "", lambda: 1), Entry("a", "", lambda: 2)])


def install_plugin(folder: Path, name: str, group: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real distribution with an entry point, as pip would lay it out."""
    package = f"plug_{folder.name.replace('-', '_')}"
    (folder / f"{package}.py").write_text(
        "from vidbench.catalogue import Entry\nentry = Entry('extra', 'from a plug-in', lambda: 'plugged')\nwrong = 3\n"
    )
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {package}:{value}\n")
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop(package, None)


def test_plugins_join_and_may_not_shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = [Entry("own", "", lambda: 1)]
    install_plugin(tmp_path, "extra", "vidbench.tests_join", "entry", monkeypatch)
    catalogue = Catalogue("thing", own, group="vidbench.tests_join")
    assert catalogue.names() == ("own", "extra")
    assert catalogue.get("extra") == "plugged"
    shadowing = tmp_path / "shadow"
    shadowing.mkdir()
    install_plugin(shadowing, "own", "vidbench.tests_shadow", "entry", monkeypatch)
    with pytest.raises(InputError, match="may not take the built-in thing name 'own'"):
        Catalogue("thing", own, group="vidbench.tests_shadow").names()


def test_a_plugin_that_is_no_entry_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plugin(tmp_path, "extra", "vidbench.tests_wrong", "wrong", monkeypatch)
    with pytest.raises(InputError, match=r"is no vidbench\.catalogue\.Entry"):
        Catalogue("thing", [], group="vidbench.tests_wrong").get("extra")
