"""A manifest's text gives its values back, whatever they are."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from vidbench.errors import InputError
from vidbench.formats.manifest import CLASSES, Manifest, ManifestRow, decode_manifest, dump_manifest

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
COUNT = st.none() | st.integers(0, 10**15)
ROWS = st.builds(
    ManifestRow,
    id=TEXT,
    path=TEXT,
    label=COUNT,
    sha256=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
    bytes=COUNT,
    frames=COUNT,
    fps=st.none() | st.builds(Fraction, st.integers(0, 10**6), st.integers(1, 10**6)),
    duration_s=st.none() | st.floats(0, 1e9, allow_nan=False),
    width=COUNT,
    height=COUNT,
    codec=st.none() | TEXT,
    kind=st.sampled_from(CLASSES),
    detail=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
MANIFESTS = st.builds(
    Manifest,
    level=st.sampled_from(["quick", "sampled", "full"]),
    decoder=TEXT,
    min_duration_s=st.none() | st.floats(0, 1e6),
    source=TEXT,
    root=TEXT,
    rows=st.lists(ROWS, max_size=5, unique_by=lambda row: row.id).map(tuple),
)


@given(MANIFESTS)
def test_text_and_back(manifest: Manifest) -> None:
    rows = tuple(replace(row, line=number) for number, row in enumerate(manifest.rows, start=2))
    assert decode_manifest(dump_manifest(manifest).encode(), "m") == replace(manifest, rows=rows)


@given(MANIFESTS, st.data())
def test_a_manifest_that_was_cut_off_is_noticed(manifest: Manifest, data: st.DataObject) -> None:
    text = dump_manifest(manifest).encode()
    cut = text[: data.draw(st.integers(0, len(text) - 2))]
    try:
        decode_manifest(cut, "m")
    except InputError:
        return
    raise AssertionError("a cut manifest was read")
