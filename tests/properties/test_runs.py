"""A log cut at any byte costs at most its last item."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vidbench.runs import RunDir, content_hash

texts = st.lists(st.text(max_size=20), min_size=1, max_size=6)


def opened(path: Path):
    return RunDir.open(path, command="c", request={}, settings={"s": 1}, resolved={}, provenance={})


@given(texts, st.data())
def test_resume_after_a_cut_at_any_byte(values: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        ends = []
        with opened(path) as run:
            for index, text in enumerate(values):
                run.append({"key": str(index), "text": text})
                ends.append((path / "clips.jsonl").stat().st_size)
        cut = data.draw(st.integers(0, ends[-1]))
        with (path / "clips.jsonl").open("r+b") as stream:
            stream.truncate(cut)
        whole = sum(end <= cut for end in ends)
        with opened(path) as run:
            assert set(run.records) == {str(index) for index in range(whole)}
            for index in range(whole, len(values)):
                run.append({"key": str(index), "text": values[index]})
        with opened(path) as run:
            assert [run.records[str(index)]["text"] for index in range(len(values))] == values


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=6))
def test_hashes_do_not_depend_on_the_order_of_keys(value: dict) -> None:
    assert content_hash(value) == content_hash(dict(reversed(value.items())))
