"""`vidbench label review` as people use it: by keyboard, in a real browser, on a real set."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from vidbench.formats.labelset import BoxT, Row, SetAction, SetFile, SetVideo, TrackPath
from vidbench.label.review.serving import serve
from vidbench.label.store import LabelSet
from vidbench.video.encode import encode

pytestmark = pytest.mark.needs_chromium

NASTY = "<img src=x onerror=alert(1)> & 100%"
WIDTH, HEIGHT, SECONDS, FPS = 320, 180, 12, 15
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
COLOURS = ((200, 60, 40), (40, 120, 220), (50, 170, 90), (220, 190, 40))
STAND, SIT, WALK, CARRY, RIDE, WATCH = 12, 11, 14, 17, 49, 80
"""Their keys: 1, 2, 3 on the upper row, a and d on the middle one, z on the lower one."""

ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
GROUND = np.stack([90 + 40 * np.sin(COLUMNS / 23), 100 + 30 * np.cos(ROWS / 17), 110 + ROWS / 4], axis=2).astype(
    np.uint8
)


def box_at(person: int, second: float) -> BoxT:
    """Where a rectangle is: all walk to the right, each at its own height and speed."""
    x = 0.04 + 0.05 * person + (0.03 + 0.01 * person) * second
    return round(x, 3), round(0.08 + 0.2 * person, 3), round(x + 0.12, 3), round(0.38 + 0.2 * person, 3)


def frame_at(second: float) -> NDArray[np.uint8]:
    """`(HEIGHT, WIDTH, 3)`: a textured ground with the rectangles on it."""
    image = GROUND.copy()
    for person, colour in enumerate(COLOURS[:3]):
        x1, y1, x2, y2 = box_at(person, second)
        image[round(y1 * HEIGHT) : round(y2 * HEIGHT), round(x1 * WIDTH) : round(x2 * WIDTH)] = colour
    return image


def rows_of_the_set() -> list[Row]:
    """Persons 0 and 1 at seconds 1 to 10; the third one is 2 until second 4 and 3 from second 6 on."""
    rows = [
        Row(second, person, box_at(person, second), 0.9, track=person) for person in (0, 1) for second in range(1, 11)
    ]
    rows += [Row(second, 2, box_at(2, second), 0.8, track=2) for second in range(1, 5)]
    rows += [
        Row(second, 3, box_at(2, second), 0.7, track=3, doubts=("short",) if second == 6 else ())
        for second in range(6, 11)
    ]
    return rows


def actions_of_the_set() -> tuple[SetAction, ...]:
    """AVA's 60 actions, and one whose name is HTML."""
    text = (resources.files("vidbench.formats") / "tables" / "ava_60.txt").read_text()
    told = [line.split(": ", 1) for line in text.splitlines() if line[:1].isdigit()]
    named = [(int(number), name.strip()) for number, name in told] + [(2, NASTY)]
    return tuple(
        SetAction(number, name, "pose" if number < 15 else "object" if number < 64 else "person")
        for number, name in sorted(named)
    )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of two videos; the second one has nobody in it."""
    folder = tmp_path_factory.mktemp("review") / "my set"
    folder.mkdir()
    film = folder / "walkers.mp4"
    encode(film, (frame_at(index / FPS) for index in range(SECONDS * FPS)), Fraction(FPS))
    labels = LabelSet(folder)
    videos = []
    for name, rows in (("walkers", rows_of_the_set()), ("empty", [])):
        home = labels.home(name)
        (home / "keyframes").mkdir(parents=True)
        for second in range(1, 11):
            Image.fromarray(frame_at(second)).save(labels.keyframe(name, second), quality=90)
        labels.save_rows(name, rows)
        videos.append(SetVideo(name, film.name, film.stat().st_size, WIDTH, HEIGHT, str(FPS), SECONDS * 30, 1, 10))
    numbers = tuple(range(30, 301, 3))
    paths = [TrackPath(person, numbers, tuple(box_at(person, one / 30) for one in numbers)) for person in (0, 1)]
    labels.save_paths("walkers", paths)
    labels.save(SetFile(actions_of_the_set(), tuple(videos)))
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = next(found for name in CHROMIUM if (found := shutil.which(name)))
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    # who wants less motion gets a picture that stands still until it is started
    made = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    made.set_default_timeout(10_000)
    yield made
    made.close()


@dataclass
class Desk:
    """The page on a set, and the set's files beside it."""

    page: Page
    labels: LabelSet
    url: str
    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def open(self) -> Desk:
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console",
            lambda said: self.problems.append(f"{said.text} {said.location}") if said.type == "error" else None,
        )
        self.page.goto(self.url)
        self.page.wait_for_selector("#saved[data-state=saved]")
        return self.settle()

    def settle(self) -> Desk:
        self.page.wait_for_selector("main[aria-busy=false]")
        return self

    def press(self, *keys: str) -> Desk:
        """Press keys one after the other, and wait until all they do is done."""
        for key in keys:
            self.page.keyboard.press(key)
        return self.settle()

    def type(self, text: str) -> Desk:
        self.page.keyboard.type(text)
        return self

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    @property
    def says(self) -> str:
        return self.text("#says")

    def rows(self) -> dict[tuple[int, int], dict[str, Any]]:
        """What the file on disk holds now, by person and second."""
        told = [json.loads(line) for line in (self.labels.home("walkers") / "tracks.jsonl").read_text().splitlines()]
        return {(one["person"], one["second"]): one for one in told}

    def answers(self, person: int) -> dict[int, list[int] | None]:
        """What the file on disk says that a person does, by second."""
        return {second: row["actions"] for (who, second), row in self.rows().items() if who == person}

    def pixels(self, selector: str) -> str:
        return str(self.page.eval_on_selector(selector, "canvas => canvas.toDataURL()"))


@pytest.fixture
def copy(template: Path, tmp_path: Path) -> LabelSet:
    return LabelSet(Path(shutil.copytree(template, tmp_path / "set")))


@pytest.fixture
def desk(copy: LabelSet, context: BrowserContext) -> Iterator[Desk]:
    """The page, open; at the end nothing has gone wrong in the browser, and nothing has asked elsewhere."""
    with serve(copy.folder) as url:
        made = Desk(context.new_page(), copy, url).open()
        yield made
        assert made.problems == []
        assert made.requests
        assert {one.split("/")[2].split(":")[0] for one in made.requests} == {"127.0.0.1"}


def test_two_persons_are_labelled_key_by_key_and_each_press_is_on_disk(desk: Desk) -> None:
    assert desk.text("#whose") == "Person 0, second 1"
    assert desk.press("1").answers(0)[1] == [STAND]
    assert desk.press("a").answers(0)[1] == [STAND, CARRY]
    assert desk.press("z").answers(0)[1] == [STAND, CARRY, WATCH]
    assert desk.text("#answer") == "stand, carry/hold (an object), watch (a person)"
    assert desk.press("a").answers(0)[1] == [STAND, WATCH]
    assert desk.page.get_attribute("[data-second='1']", "data-state") == "answered"
    desk.press("ArrowRight", "3", "Tab")
    assert desk.text("#whose") == "Person 1, second 2"
    desk.press("2", "d")
    assert desk.answers(0) == {1: [STAND, WATCH], 2: [WALK], **dict.fromkeys(range(3, 11))}
    assert desk.answers(1)[2] == [SIT, RIDE]
    desk.press("Shift+Tab", "ArrowLeft")
    assert desk.text("#whose") == "Person 0, second 1"
    assert "3 of 29 answered" in desk.text("#of-video")
    assert "3 of 29 answered" in desk.text("#of-set")


def test_no_action_is_an_answer_and_untouched_is_none(desk: Desk) -> None:
    desk.press("0")
    assert desk.answers(0)[1] == []
    assert desk.page.get_attribute("[data-second='1']", "data-state") == "none"
    assert desk.press("0").answers(0)[1] is None
    desk.press("0", "1")
    assert desk.answers(0)[1] == [STAND]
    assert desk.press("Backspace").answers(0)[1] is None


def test_an_answer_is_filled_until_it_changes_or_over_the_whole_track(desk: Desk) -> None:
    desk.press("End", "ArrowLeft", "ArrowLeft", "2", "Home", "3", "a", "Shift+ArrowRight")
    assert desk.answers(0) == {**{second: [WALK, CARRY] for second in range(1, 8)}, 8: [SIT], 9: None, 10: None}
    desk.press("End", "Shift+ArrowLeft")
    assert "untouched" in desk.says
    desk.press("ArrowLeft", "Shift+ArrowLeft")
    assert desk.answers(0)[9] == [SIT]
    desk.press("1", "Shift+End")
    assert desk.answers(0)[10] == [SIT, STAND]
    desk.press("Shift+w")
    assert set(map(tuple, filter(None, desk.answers(0).values()))) == {(SIT, STAND)}
    desk.press("Control+z", "Control+z")
    assert desk.answers(0) == {**{second: [WALK, CARRY] for second in range(1, 8)}, 8: [SIT], 9: [SIT, STAND], 10: None}
    desk.press("Control+Shift+z")
    assert desk.answers(0)[10] == [SIT, STAND]


def test_enter_leads_through_all_that_is_untouched(desk: Desk) -> None:
    seen = []
    for _ in range(29):
        seen.append(desk.text("#whose"))
        desk.press("0", "Enter")
    assert len(set(seen)) == 29
    assert all(row["actions"] == [] for row in desk.rows().values())
    assert "Nothing is untouched" in desk.says
    assert "29 of 29 answered" in desk.text("#of-video")


def test_an_action_is_found_by_typing(desk: Desk) -> None:
    desk.press("/").type("cellp")
    assert desk.page.inner_text("#ask-list [aria-selected=true] .name") == "text on/look at a cellphone"
    assert desk.press("Enter").answers(0)[1] == [57]
    desk.press("/").type("martial")
    desk.press("Escape", "ArrowRight")
    assert desk.answers(0)[2] is None
    desk.press("/").type("nothing like it")
    desk.press("Enter")
    assert desk.text("#ask-note") == "No action is called so."
    desk.press("Escape")


def test_a_name_with_markup_is_text_everywhere(desk: Desk) -> None:
    desk.press("/").type("<img")
    desk.press("Enter")
    assert desk.answers(0)[1] == [2]
    assert desk.text("#answer") == NASTY
    assert NASTY in desk.text("[data-second='1'] .words")
    assert NASTY in desk.text("button[data-action='2'] .name")
    assert NASTY in desk.says
    assert desk.press("?").text("#help-sheet").count(NASTY) == 1
    assert desk.page.locator("img:not(.cell img)").count() == 0
    desk.press("Escape")


def test_an_action_can_be_given_a_key_that_stays(desk: Desk) -> None:
    desk.press("Shift+k").type("martial")
    desk.press("Enter").type("g")
    desk.press("Enter", "g")
    assert desk.answers(0)[1] == [9]
    desk.page.reload()
    desk.settle().press("ArrowRight", "g")
    assert desk.answers(0)[2] == [9]


def test_persons_are_merged_split_swapped_and_deleted_and_all_comes_back(desk: Desk) -> None:
    before = desk.rows()
    desk.press("Tab", "Tab", "Shift+m").type("3")
    desk.press("Enter")
    assert desk.text("#whose") == "Person 3, second 1"
    assert {second for person, second in desk.rows() if person == 3} == {1, 2, 3, 4, 6, 7, 8, 9, 10}
    assert not [key for key in desk.rows() if key[0] == 2]
    desk.press("Home", "ArrowRight", "ArrowRight", "Shift+s")
    assert {second for person, second in desk.rows() if person == 3} == {1, 2}
    assert {second for person, second in desk.rows() if person == 4} == {3, 4, 6, 7, 8, 9, 10}
    desk.press("Shift+u", "Shift+u")
    assert desk.rows() == before
    desk.press("Shift+g").type("0")
    desk.press("Enter", "Home", *["ArrowRight"] * 4, "Shift+x").type("1")
    desk.press("Enter")
    swapped = desk.rows()
    assert swapped[0, 4]["box"] == before[0, 4]["box"]
    assert swapped[0, 5]["box"] == before[1, 5]["box"]
    assert swapped[1, 10]["box"] == before[0, 10]["box"]
    desk.press("Delete")
    assert desk.rows() == swapped
    assert "again" in desk.says
    desk.press("ArrowRight", "Delete")
    assert desk.rows() == swapped, "moving away disarms the key"
    desk.press("Delete")
    assert desk.rows().keys() == swapped.keys() - {(0, 6)}
    desk.press("Shift+Delete", "Shift+Delete")
    assert not [key for key in desk.rows() if key[0] == 0]
    desk.press("Shift+u", "Shift+u", "Shift+u")
    assert desk.rows() == before
    desk.press("Shift+r", "Shift+r", "Shift+r")
    assert not [key for key in desk.rows() if key[0] == 0]


def test_persons_that_are_there_at_once_are_not_merged(desk: Desk) -> None:
    before = desk.rows()
    desk.press("Shift+m").type("1")
    desk.press("Enter")
    assert "both have a box" in desk.says
    assert desk.rows() == before
    assert desk.page.get_attribute("#saved", "data-state") == "saved"
    desk.problems = [one for one in desk.problems if "400" not in one]
    desk.press("1")
    assert desk.answers(0)[1] == [STAND]


def test_a_box_is_adjusted_and_drawn_by_keys(desk: Desk) -> None:
    x1, y1, x2, y2 = desk.rows()[0, 1]["box"]
    desk.press("Shift+b", *["ArrowRight"] * 3, "ArrowDown", "Shift+ArrowRight", "f", "Shift+ArrowDown")
    assert desk.rows()[0, 1]["box"] == [x1, y1, x2, y2], "not before Enter"
    desk.press("Enter")
    assert desk.rows()[0, 1]["box"] == pytest.approx([x1 + 0.03, y1 + 0.01, x2 + 0.04, y2 + 0.012], abs=1e-6)
    held = desk.rows()
    desk.press("Shift+b", "ArrowUp", "Escape")
    assert desk.rows() == held
    desk.press("Shift+n", "c", "ArrowLeft", "Enter", "1")
    assert desk.text("#whose") == "Person 4, second 1"
    assert desk.rows()[4, 1]["box"] == [0.35, 0.25, 0.55, 0.85]
    assert desk.answers(4) == {1: [STAND]}
    desk.press(".", "Shift+b", "Enter")
    assert desk.rows()[4, 2]["box"] == [0.35, 0.25, 0.55, 0.85]
    assert desk.rows()[4, 2]["score"] is None


def test_a_box_is_drawn_by_mouse(desk: Desk) -> None:
    desk.press("Shift+n")
    place = desk.page.locator("#still-canvas").bounding_box()
    assert place is not None
    scale = min(place["width"] / WIDTH, place["height"] / HEIGHT)
    left, top = (place["width"] - WIDTH * scale) / 2 + place["x"], (place["height"] - HEIGHT * scale) / 2 + place["y"]
    desk.page.mouse.move(left + 0.7 * WIDTH * scale, top + 0.1 * HEIGHT * scale)
    desk.page.mouse.down()
    desk.page.mouse.move(left + 0.9 * WIDTH * scale, top + 0.5 * HEIGHT * scale, steps=3)
    desk.page.mouse.up()
    desk.press("Enter")
    assert desk.rows()[4, 1]["box"] == pytest.approx([0.7, 0.1, 0.9, 0.5], abs=0.01)


def test_the_second_pass_confirms_what_is_answered_with_one_key(desk: Desk) -> None:
    desk.press("1", "Shift+w", "Tab", "2", "Shift+g").type("0")
    desk.press("Enter", "Home", "Shift+p")
    for second in range(1, 11):
        assert desk.text("#whose") == f"Person 0, second {second}"
        desk.press("Enter")
        assert desk.rows()[0, second]["checked"]
    assert desk.text("#whose") == "Person 1, second 1"
    desk.press("3")
    assert desk.answers(1)[1] == [SIT, WALK]
    desk.press("2", "Enter")
    assert desk.rows()[1, 1]["checked"]
    assert "is checked" in desk.says
    assert "11 of 29 answered, 11 checked" in desk.text("#of-set")
    desk.press("Shift+y")
    assert not desk.rows()[1, 1]["checked"]
    desk.press("Shift+Enter")
    assert desk.rows()[1, 1]["checked"]


def test_a_reload_and_another_start_keep_everything(desk: Desk, context: BrowserContext) -> None:
    desk.press("Tab", "ArrowRight", "ArrowRight", "1", "a")
    held = desk.rows()
    desk.page.reload()
    desk.settle()
    assert desk.text("#whose") == "Person 1, second 3"
    assert desk.text("#answer") == "stand, carry/hold (an object)"
    desk.press("Shift+u")
    assert desk.answers(1)[3] == [STAND], "undo reaches over a reload"
    desk.press("Shift+r")
    assert desk.rows() == held


def test_it_plays_pauses_and_goes_slower(desk: Desk) -> None:
    assert desk.text("#play-speed").startswith("paused")
    desk.page.emulate_media(reduced_motion="no-preference")
    desk.page.reload()
    desk.settle()
    desk.page.wait_for_function("() => document.getElementById('play-says').textContent.includes(' s')")
    first = desk.pixels("#play-canvas")
    desk.page.wait_for_function(
        "first => document.getElementById('play-canvas').toDataURL() !== first", arg=first, timeout=5_000
    )
    desk.press("Space")
    assert desk.text("#play-speed").startswith("paused")
    still = desk.page.evaluate(
        """async () => {
            const canvas = document.getElementById("play-canvas"), first = canvas.toDataURL();
            for (let frame = 0; frame < 20; frame += 1) await new Promise(requestAnimationFrame);
            return canvas.toDataURL() === first;
        }"""
    )
    assert still
    desk.press("[", "[")
    assert "0.25" in desk.text("#play-speed")
    desk.press("]", "Space")
    assert desk.text("#play-speed") == "plays \u00b7 0.5\u00d7"


def test_the_pictures_show_the_person_where_it_is(desk: Desk) -> None:
    """The middle of each crop has the colour of the rectangle."""
    for person in (0, 1):
        desk.press("Home")
        desk.page.wait_for_function("() => document.querySelector('.cell.current img').naturalWidth > 0")
        colour = desk.page.evaluate(
            """() => {
                const image = document.querySelector(".cell.current img"), canvas = document.createElement("canvas");
                const ink = canvas.getContext("2d");
                ink.drawImage(image, 0, 0);
                return [...ink.getImageData(image.naturalWidth / 2, image.naturalHeight / 2, 1, 1).data].slice(0, 3);
            }"""
        )
        assert np.abs(np.subtract(colour, COLOURS[person])).max() < 25
        desk.press("Tab")


def test_a_second_tab_is_told_of_the_conflict(desk: Desk, context: BrowserContext) -> None:
    other = Desk(context.new_page(), desk.labels, desk.url).open()
    desk.press("1")
    other.press("2")
    assert other.answers(0)[1] == [STAND], "the other tab's edit is not applied to what it did not see"
    assert "changed elsewhere" in other.says
    assert other.text("#answer") == "stand"
    other.press("2")
    assert other.answers(0)[1] == [SIT, STAND]
    assert [one for one in other.problems if "409" not in one] == []


def test_an_edit_that_does_not_get_through_is_told_and_tried_until_it_does(desk: Desk) -> None:
    refusing = True

    def gate(route: Any) -> None:
        if refusing:
            route.abort("connectionfailed")
        else:
            route.continue_()

    desk.page.route("**/edit", gate)
    desk.page.keyboard.press("1")
    desk.page.wait_for_selector("#saved[data-state=failed]", timeout=60_000)
    assert "stand on" in desk.text("#saved")
    desk.page.keyboard.press("2")
    assert "Not taken" in desk.says
    assert desk.answers(0)[1] is None
    refusing = False
    desk.page.keyboard.press("Enter")
    desk.page.wait_for_selector("#saved[data-state=saved]")
    assert desk.settle().answers(0)[1] == [STAND]
    desk.problems = [one for one in desk.problems if "ERR_CONNECTION" not in one]


def test_an_edit_whose_answer_was_lost_is_not_made_twice(desk: Desk) -> None:
    lost: list[str] = []

    def gate(route: Any) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch().text())
            route.abort("connectionreset")

    desk.page.route("**/edit", gate)
    desk.press("1")
    desk.page.wait_for_function("() => document.getElementById('says').textContent.includes('See whether')")
    assert lost
    assert desk.answers(0)[1] == [STAND]
    assert desk.text("#answer") == "stand"
    desk.press("3")
    assert desk.answers(0)[1] == [STAND, WALK]
    desk.problems = [one for one in desk.problems if "ERR_CONNECTION" not in one and "409" not in one]


def test_a_server_that_has_ended_is_said_and_nothing_is_taken(copy: LabelSet, context: BrowserContext) -> None:
    with serve(copy.folder) as url:
        desk = Desk(context.new_page(), copy, url).open()
        desk.press("1")
    desk.page.keyboard.press("2")
    desk.page.wait_for_selector("#saved[data-state=failed]", timeout=60_000)
    assert "not saved: sit on" in desk.text("#saved")
    assert desk.answers(0)[1] == [STAND]


def test_keys_that_come_faster_than_the_server_are_taken_in_order(desk: Desk) -> None:
    for key in ("1", "ArrowRight", "3", "a", "Shift+ArrowRight", "Home", "z", "/", "m", "a", "r", "t", "i", "a", "l"):
        desk.page.keyboard.press(key)
    desk.press("Enter")
    assert desk.answers(0) == {1: [9, STAND, WATCH], **{second: [WALK, CARRY] for second in range(2, 11)}}


def test_a_video_without_persons_and_the_next_video(desk: Desk) -> None:
    desk.press("PageDown")
    assert desk.page.input_value("#videos") == "empty"
    assert "Nobody is in this video" in desk.says
    desk.press("1", "Tab", "Enter", "ArrowRight", "Shift+m", "Delete", "Delete")
    desk.press("Shift+n", "Enter", "1")
    told = [json.loads(line) for line in (desk.labels.home("empty") / "tracks.jsonl").read_text().splitlines()]
    assert [(one["person"], one["second"], one["actions"]) for one in told] == [(0, 1, [STAND])]
    desk.press("PageDown")
    assert desk.says == "This is the last video."
    desk.press("PageUp")
    assert desk.page.input_value("#videos") == "walkers"


def test_doubts_and_warnings_are_listed_and_reached(desk: Desk) -> None:
    assert desk.text("#looks-count") == "1"
    desk.press("Shift+j")
    assert desk.text("#whose") == "Person 3, second 6"
    desk.press("a")
    assert "no pose" in desk.text("#looks-sheet")
    desk.press("1", "Shift+y")
    assert desk.text("#looks-count") == "0"


def test_a_screen_reader_is_told_what_is_seen(desk: Desk) -> None:
    desk.press("1", "ArrowRight", "0")
    assert desk.text("#told") == "Person 0, second 2: no action"
    assert desk.page.get_by_role("checkbox", name="stand").first.get_attribute("aria-checked") == "false"
    desk.press("ArrowLeft")
    assert desk.page.get_by_role("checkbox", name="stand").first.get_attribute("aria-checked") == "true"
    assert desk.page.locator("#persons").get_by_role("option", selected=True).get_attribute("aria-label") == (
        "person 0, 2 of 10 answered, 0 checked, 0 to look at"
    )
    assert desk.page.get_by_label("second 1: answered, stand").count() == 1
    assert desk.page.get_by_role("status").count() == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(desk: Desk, scheme: Literal["light", "dark"]) -> None:
    """WCAG 2.2 asks for a contrast of 4.5 to 1, and of 3 to 1 for lines that tell something."""
    desk.page.emulate_media(color_scheme=scheme)
    style = "getComputedStyle(document.documentElement)"

    def light(name: str) -> float:
        told = desk.page.evaluate(f"{style}.getPropertyValue('--{name}').trim()")
        parts = np.array([int(told[at : at + 2], 16) for at in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    def contrast(one: str, other: str) -> float:
        low, high = sorted((light(one), light(other)))
        return (high + 0.05) / (low + 0.05)

    words = [("ink", "panel"), ("soft", "panel"), ("look", "panel"), ("look", "own-paper"), ("own", "panel")]
    words += [("on-ink", "on"), ("alarm", "alarm-paper"), ("alarm", "panel"), ("checked", "panel")]
    assert {pair: contrast(*pair) for pair in words if contrast(*pair) < 4.5} == {}
    lines = ["untouched", "answered", "none", "checked"]
    assert {name: contrast(name, "panel") for name in lines if contrast(name, "panel") < 3} == {}


def test_controls_are_reached_by_keyboard_and_left_again(desk: Desk) -> None:
    desk.press("F6")
    assert desk.page.evaluate("document.activeElement.id") == "videos"
    desk.page.keyboard.press("Tab")
    assert desk.page.evaluate("document.activeElement.id") == "help-open"
    desk.press("Escape", "1")
    assert desk.answers(0)[1] == [STAND]


@pytest.mark.slow
def test_a_long_video_with_many_persons_is_shown_in_part(copy: LabelSet, context: BrowserContext) -> None:
    content = copy.load()
    long = SetVideo(
        "walkers", "walkers.mp4", content.video("walkers").size_bytes, WIDTH, HEIGHT, str(FPS), 27_060, 1, 900
    )
    copy.save(SetFile(content.actions, (long,)))
    boxes = [box_at(person % 3, person % 11) for person in range(200)]
    copy.save_rows("walkers", (Row(s, p, boxes[p], 0.9) for p in range(200) for s in range(1, 901, 1 + p % 9)))
    with serve(copy.folder) as url:
        desk = Desk(context.new_page(), copy, url).open()
        desk.page.keyboard.press("Space")
        assert desk.page.locator(".cell").count() < 60
        assert desk.page.locator(".person").count() < 60
        desk.press("End")
        assert desk.text("#whose") == "Person 0, second 900"
        desk.press(*["ArrowLeft"] * 20, "1")
        assert desk.text("#whose") == "Person 0, second 880"
        assert desk.answers(0)[880] == [STAND]
        desk.press("Shift+g").type("150")
        desk.press("Enter", "Shift+w")
        assert desk.page.locator(".cell").count() < 60
        assert desk.page.locator(".person").count() < 60
