import json
from collections.abc import Callable
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from vidbench.errors import InputError
from vidbench.formats import box_table, coco, mot
from vidbench.formats.given import Fractions, GivenBox, GivenBoxes, VideoShape, frame_at, numbers_of_frame

NAMES = ("a", "b-2", "Ä_3")
rates = st.sampled_from([Fraction(n) for n in ("10", "15", "24", "25", "30", "50", "60", "30000/1001", "24000/1001")])
shapes = st.builds(VideoShape, st.just("a"), st.integers(16, 4096), st.integers(16, 2160), rates)
thousandths = st.tuples(st.integers(-50, 1050), st.integers(-50, 1050)).filter(lambda pair: pair[0] + 4 <= pair[1])


@st.composite
def fractions(draw: st.DrawFn) -> Fractions:
    (x1, x2), (y1, y2) = draw(thousandths), draw(thousandths)
    return x1 / 1000, y1 / 1000, x2 / 1000, y2 / 1000


def boxes(names: tuple[str, ...]) -> st.SearchStrategy[list[GivenBox]]:
    one = st.builds(
        GivenBox,
        st.sampled_from(names),
        st.integers(0, 5000),
        fractions(),
        st.none() | st.integers(0, 1000).map(lambda n: n / 1000),
        st.none() | st.integers(0, 20),
        st.none() | st.lists(st.integers(1, 80), unique=True, max_size=4).map(lambda ids: tuple(sorted(ids))),
    )
    return st.lists(one, max_size=12, unique_by=lambda box: (box.video, box.number, box.person))


def same(one: GivenBox, other: GivenBox, tolerance: float, *, whole: bool = True) -> bool:
    near = all(abs(a - b) <= tolerance for a, b in zip(one.box, other.box, strict=True))
    score = one.score == other.score if whole else (1.0 if one.score is None else one.score) == other.score
    return near and score and one.person == other.person and (not whole or one.actions == other.actions)


def keys(rows: list[GivenBox]) -> list[GivenBox]:
    return sorted(rows, key=lambda box: (box.video, box.number, -1 if box.person is None else box.person, box.box))


@given(boxes(NAMES), rates)
def test_tables_come_back(rows: list[GivenBox], fps: Fraction) -> None:
    known = {name: VideoShape(name, 640, 360, fps) for name in NAMES}
    back = box_table.parse(list(box_table.dump(rows)), "t.csv", known)
    assert [(one.video, one.number) for one in back.boxes] == [(one.video, one.number) for one in keys(rows)]
    assert all(same(one, other, 1e-9) for one, other in zip(keys(rows), keys(list(back.boxes)), strict=True))


@given(boxes(NAMES), st.integers(16, 4096), st.integers(16, 2160), rates)
def test_coco_documents_come_back(rows: list[GivenBox], width: int, height: int, fps: Fraction) -> None:
    known = [VideoShape(name, width, height, fps) for name in NAMES]
    text = json.dumps(coco.dump(rows, known, moments={"a": [1, 77]}))
    back = coco.parse(json.loads(text), "c.json", {shape.id: shape for shape in known})
    assert len(back.boxes) == len(rows)
    assert all(same(one, other, 1e-3 / 16 + 1e-9) for one, other in zip(order(rows), order(back.boxes), strict=True))
    assert {span.start for span in back.spans["a"]} == {1, 77} | {box.number for box in rows if box.video == "a"}


def order(rows: list[GivenBox] | tuple[GivenBox, ...]) -> list[GivenBox]:
    # boxes of a moment keep their order, in the file and out of it
    return sorted(rows, key=lambda box: (box.video, box.number))


@given(boxes(("a",)), shapes)
def test_mot_files_come_back_at_the_frames_that_are_shown(rows: list[GivenBox], shape: VideoShape) -> None:
    first: dict[int, int] = {}
    for box in sorted(rows, key=lambda one: one.number):
        first.setdefault(frame_at(box.number, shape.fps), box.number)
    written = [box for box in rows if first[frame_at(box.number, shape.fps)] == box.number]
    back = mot.parse(list(mot.dump(rows, shape)), "m.txt", shape)
    assert back.unseen == 0

    def place(box: GivenBox) -> tuple[int, int]:
        return frame_at(box.number, shape.fps), -1 if box.person is None else box.person

    told = sorted(back.boxes, key=place)
    assert [place(box) for box in told] == sorted(place(box) for box in written)
    for one, other in zip(sorted(written, key=place), told, strict=True):
        assert same(one, other, 1e-3 / 16 + 1e-9, whole=False)
        assert one.number in numbers_of_frame(frame_at(other.number, shape.fps), shape.fps)


def read_or_refusal(parse: Callable[[], GivenBoxes]) -> GivenBoxes | InputError:
    try:
        return parse()
    except InputError as error:
        return error


cells = st.sampled_from(["", "a", "0", "1", "-1", "0.5", "1e3", "nan", "inf", "-0.2", '"', "12;80", "none", "9" * 30])
lines = st.lists(st.lists(cells, max_size=11).map(",".join), max_size=6)
HEADER = "video,second,x1,y1,x2,y2,score,person,actions"


@settings(max_examples=300)
@given(lines)
def test_any_text_is_read_or_refused_with_its_lines(rows: list[str]) -> None:
    shape = VideoShape("a", 100, 50, Fraction(25))
    for parse in (
        lambda: mot.parse(rows, "f", shape),
        lambda: box_table.parse([HEADER, *rows], "f", {"a": shape}),
        lambda: box_table.parse_ava(rows, "f", {"a": shape}),
    ):
        read = read_or_refusal(parse)
        if isinstance(read, InputError):
            assert all(line.startswith(("f:", "... and")) for line in read.message.splitlines())
        else:
            assert all(box.box[0] < box.box[2] and box.box[1] < box.box[3] for box in read.boxes)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 90) | st.floats() | st.sampled_from(["a", "person"]),
    lambda part: (
        st.lists(part, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                (
                    "id",
                    "name",
                    "images",
                    "annotations",
                    "categories",
                    "videos",
                    "image_id",
                    "category_id",
                    "bbox",
                    "video_id",
                    "width",
                    "height",
                    "second",
                    "frame",
                    "time",
                    "score",
                    "track_id",
                    "attributes",
                    "actions",
                    "iscrowd",
                )
            ),
            part,
            max_size=6,
        )
    ),
    max_leaves=8,
)
parts = st.fixed_dictionaries(
    {
        "images": st.lists(anything, max_size=3),
        "annotations": st.lists(anything, max_size=3),
        "categories": st.just([{"id": 1, "name": "person"}]) | st.lists(anything, max_size=2),
    },
    optional={"videos": anything},
)


@settings(max_examples=150)
@given(anything | parts)
def test_any_document_is_read_or_refused(told: object) -> None:
    read = read_or_refusal(lambda: coco.parse(told, "f", {"a": VideoShape("a", 100, 50, Fraction(25))}))
    assert not isinstance(read, InputError) or all(
        line.startswith(("f: ", "... and")) for line in read.message.splitlines()
    )
