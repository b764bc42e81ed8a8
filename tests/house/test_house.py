"""The rules of the house that a linter does not know."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "vidbench"
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = (
    "torch", "torchvision", "numpy", "pydantic", "pytorchvideo", "av", "art", "PIL", "scipy", "urllib3", "yt_dlp",
)  # fmt: skip


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n'.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["attack", "run", "--help"], ["model", "eval", "--help"], ["data", "csv", "--help"],
     ["data", "fetch", "--help"], ["data", "cut", "--help"], ["data", "frames", "--help"], ["data", "check", "--help"],
     ["weights", "pull", "--help"], ["env", "check", "--help"], ["report", "--help"]],
    ids=" ".join,
)  # fmt: skip
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = f"""
import contextlib, io
from vidbench.cli.app import main
with contextlib.redirect_stdout(io.StringIO()) as shown:
    assert main({words!r}) == 0
assert shown.getvalue()
"""
    # typer itself loads pydantic to read a command's bounded options
    allowed = {"pydantic"} if len(words) > 1 else set()
    assert loaded_by(code).isdisjoint(set(HEAVY) - allowed)


def test_completion_imports_nothing_heavy() -> None:
    code = """
from vidbench.cli.complete import complete_attack, complete_decoder, complete_model, complete_sources
assert "x3d_m" in complete_model("x3d")
assert "pgd" in complete_attack("p")
assert complete_decoder("p") == ["pyav"]
assert "ava" in complete_sources("a")
"""
    assert loaded_by(code).isdisjoint(HEAVY)


def test_completion_names_are_the_catalogue_s() -> None:
    from vidbench.attack.methods import ATTACKS
    from vidbench.attack.names import ATTACK_NAMES

    assert ATTACKS.names() == ATTACK_NAMES


def test_importing_any_module_does_nothing_but_define_names(tmp_path: Path) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in FILES
        if path.name not in ("__main__.py", "child.py")
    ]
    script = f"""
import importlib, os, sys, warnings
warnings.simplefilter("ignore")
threads = __import__("threading").active_count()
before = dict(os.environ)
for name in {modules!r}:
    importlib.import_module(name)
changed = [key for key in os.environ if os.environ[key] != before.get(key)]
# libraries set their own switches while they load; ours must not
assert not [key for key in changed if key.startswith(("VIDBENCH", "HOME", "YOLO"))], changed
assert __import__("threading").active_count() == threads
assert "art" not in sys.modules and "pytorchvideo" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_says_its_one_job_and_no_room_is_a_drawer(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no first line"
    assert path.stem not in {"utils", "util", "helpers", "common", "misc", "csv"}


def test_imports_point_one_way() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_no_shell_no_unsafe_loading() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            shell = named.get("shell")
            assert not (isinstance(shell, ast.Constant) and shell.value), path
            if isinstance(node.func, ast.Attribute) and node.func.attr == "load":
                owner = getattr(node.func.value, "id", "")
                assert owner not in {"pickle", "marshal", "shelve"}, path
                if owner == "torch":
                    safe = named.get("weights_only")
                    assert isinstance(safe, ast.Constant), path
                    assert safe.value is True, path


def test_the_lock_holds_hashes_and_no_addresses() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    entries = [block for block in text.split("\n") if block and not block.startswith((" ", "#"))]
    assert len(entries) > 50
    assert text.count("--hash=sha256:") > len(entries)
    assert all(entry.endswith("\\") for entry in entries)
    assert any(entry.startswith("torch==") for entry in entries)
