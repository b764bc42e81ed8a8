"""The documentation is true: its commands run, its code fits, its links lead somewhere, its examples have real keys."""

import ast
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import ndiff
from pathlib import Path

import pytest

from vidbench.cli.app import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
FOLDERS = ("docs", "tests", "benchmarks")
ALL_PAGES = sorted([*ROOT.glob("*.md"), *(page for name in FOLDERS for page in (ROOT / name).rglob("*.md"))])


@dataclass(frozen=True)
class Block:
    """A fenced block: its info string, its text and the number of its first line."""

    info: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """A command of a console block, what it prints and how it ends."""

    words: list[str]
    expected: list[str]
    exit_code: int
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    fence, info, first, held = "", "", 0, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        mark = re.match(r"(`{3,})(.*)$", line)
        if not fence and mark:
            fence, info, first, held = mark[1], mark[2].strip(), number + 1, []
        elif fence and line.rstrip() == fence:
            yield Block(info, "".join(f"{text}\n" for text in held), first)
            fence = ""
        elif fence:
            held.append(line)
    assert not fence, f"{page}:{first}: this block has no end"


def commands(block: Block) -> Iterator[Command]:
    """`$ command`, the lines that it prints, and perhaps `# exit N`; a backslash continues a command."""
    lines = block.text.replace("\\\n", "").splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"line {block.line}: a console block begins with a command"
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        expected, code = lines[start + 1 : end], 0
        if expected and (stated := re.fullmatch(r"# exit (\d+)", expected[-1])):
            expected, code = expected[:-1], int(stated[1])
        yield Command(shlex.split(lines[start][2:]), expected, code, block.line + start)


def trimmed(lines: list[str]) -> list[str]:
    """Lines without blanks at their ends, without empty lines at either end; figures may widen a table's columns."""
    return "\n".join(re.sub(r"(?<=\S) {2,}", "  ", line.rstrip()) for line in lines).strip("\n").splitlines()


def fits(expected: list[str], printed: list[str]) -> bool:
    """Whether the lines are the expected ones; `...` stands for any number of lines, or for a part of one."""
    parts = [
        "(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", "[^\n]*") + "\n"
        for line in trimmed(expected)
    ]
    return re.fullmatch("".join(parts), "".join(f"{line}\n" for line in trimmed(printed))) is not None


def run(command: Command, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run one command of a page and compare."""
    program, *words = command.words
    code, errors = 0, ""
    if program == "cat":
        printed = "".join(Path(word).read_text(encoding="utf-8") for word in words)
    else:
        assert program == "vidbench", f"{where}: pages run vidbench and cat, not {program}"
        capsys.readouterr()
        code = main(words)
        printed, errors = capsys.readouterr()
    assert code == command.exit_code, f"{where}: exit code {code}\n{printed}{errors}"
    difference = "\n".join(ndiff(trimmed(command.expected), trimmed(printed.splitlines())))
    assert fits(command.expected, printed.splitlines()), f"{where}: other output\n{difference}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_print_what_it_says(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    """All blocks of a page in order, in one folder: files to write, commands, and code marked `python run`."""
    monkeypatch.chdir(tmp_path)
    if page.stem == "data":
        monkeypatch.setenv("VIDBENCH_DATA_MIRROR", request.getfixturevalue("mirror").url)
    ran = 0
    for block in blocks(page):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if named := re.fullmatch(r"text file=(\S+)", block.info):
            file = tmp_path / named[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif block.info == "console":
            for command in commands(block):
                run(command, f"{page.relative_to(ROOT)}:{command.line}", capsys)
                ran += 1
        elif block.info == "python run":
            exec(compile(block.text, where, "exec"), {"__name__": "page"})
            capsys.readouterr()
    assert ran, f"{page.name} runs nothing"


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_uses_names_and_fields_that_exist(page: Path) -> None:
    """Also of blocks that do not run: what they import is there, and so are the fields of requests."""
    for block in blocks(page):
        if not block.info.startswith("python"):
            continue
        where = f"{page.relative_to(ROOT)}:{block.line}"
        found: dict[str, object] = {}
        for node in ast.walk(ast.parse(block.text, where)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vidbench"):
                module = importlib.import_module(node.module or "")
                for name in node.names:
                    assert hasattr(module, name.name), f"{where}: {node.module} has no {name.name}"
                    found[name.asname or name.name] = getattr(module, name.name)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                kind = found.get(node.func.id)
                fields = getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", None)
                for keyword in node.keywords if fields else ():
                    assert keyword.arg in fields, f"{where}: {node.func.id} has no field {keyword.arg}"


def prose(page: Path) -> str:
    """A page without its fenced blocks and without code in lines, which hold no links."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^(`{3,}).*?^\1\s*?$", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings: lower case, hyphens for blanks, letters, digits and hyphens only."""
    text = re.sub(r"^(`{3,}).*?^\1\s*?$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(target)
    assert lost == []


def shape(value: object, other: object, at: str) -> list[str]:
    """Where two JSON values differ in their keys; lists are compared by their first elements."""
    if isinstance(value, dict) and isinstance(other, dict):
        found = [f"{at}.{key} is on one side only" for key in sorted(value.keys() ^ other.keys())]
        for key in value.keys() & other.keys():
            found += shape(value[key], other[key], f"{at}.{key}")
        return found
    if isinstance(value, list) and isinstance(other, list) and value and other:
        return shape(value[0], other[0], f"{at}[0]")
    return []


def examples() -> dict[str, str]:
    """The blocks `json example=RUN/FILE` of docs/formats.md, by RUN/FILE."""
    found = {}
    for block in blocks(ROOT / "docs" / "formats.md"):
        if named := re.fullmatch(r"json example=(\S+)", block.info):
            found[named[1]] = block.text
    return found


def test_the_run_folders_of_formats_have_the_keys_of_real_ones(
    small_model: Path, small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = (small_set / "vallist.txt").read_text().splitlines()[0]
    (tmp_path / "two.txt").write_text(f"{first}\n./val/missing.mp4 1\n")
    one, train = str(small_set / "vallist.txt"), str(small_set / "trainlist.txt")
    root = ["--root", str(small_set)]
    assert main(["data", "check", "two.txt", *root, "--manifest", "data/val.jsonl"]) == 6
    assert main(["model", "eval", str(small_model), "two.txt", *root, "--views", "1x1", "--out", "eval"]) == 6
    assert main(["attack", "run", "--model", str(small_model), "--data", one, "--limit", "1", "--out", "attack"]) == 0
    assert main(["model", "finetune", "x3d_tiny", train, "--limit", "2", "--epochs", "1", "--out", "finetune"]) == 0
    (tmp_path / "boxes.csv").write_text("video,second,x1,y1,x2,y2,score\nmove_left_0000,0,0.1,0.2,0.4,0.9,0.98\n")
    detect = ["label", "detect-track", str(small_set / "val" / "move_left" / "move_left_0000.mp4"), "--out", "set"]
    assert main([*detect, "--detector", "boxes", "--boxes", "boxes.csv", "--tracker", "iou", "--margin", "0"]) == 0

    shown = examples()
    assert {"eval/manifest.json", "eval/clips.jsonl", "eval/summary.json"} <= shown.keys()
    for name, text in shown.items():
        real = (tmp_path / name).read_text()
        if name.endswith(".jsonl"):
            pairs = list(zip(text.splitlines(), real.splitlines(), strict=False))
            assert len(pairs) == len(text.splitlines()), name
        else:
            pairs = [(text, real)]
        for ours, theirs in pairs:
            assert shape(json.loads(ours), json.loads(theirs), name) == []
    for name in ("eval", "attack", "finetune"):
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        assert shape({**json.loads(shown["eval/manifest.json"]), "request": 0, "settings": 0, "resolved": 0},
                     {**manifest, "request": 0, "settings": 0, "resolved": 0}, name) == []  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["a", "...", "d"], ["a", "b", "c", "d"], True),
        (["a", "...", "d"], ["a", "d"], True),
        (["a", "...", "d"], ["a", "b"], False),
        (["..."], [], True),
        (["a ... c"], ["a b c"], True),
        (["a.c"], ["abc"], False),
        (["a  "], ["", "a", ""], True),
        (["a   b"], ["a      b"], True),
        (["a b"], ["a  b"], False),
        (["  a"], ["    a"], False),
        ([], ["a"], False),
    ],
)
def test_the_comparison_itself(expected: list[str], printed: list[str], same: bool) -> None:
    assert fits(expected, printed) is same
