"""`vidbench weights`: exit codes, streams and files."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vidbench.cli.app import main


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return None


def weights_file(path: Path, seed: int) -> Path:
    """A valid safetensors file of one small random tensor."""
    header = json.dumps({"x": {"dtype": "U8", "shape": [5000], "data_offsets": [0, 5000]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(5000))
    return path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "VIDBENCH_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("XDG_CACHE_HOME", "VIDBENCH_MIRROR", "VIDBENCH_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "vidbench_home" / "weights"


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """A server of one folder that holds X3D_M.pyth, and a page called X3D_S.pyth."""
    folder = tmp_path / "served"
    weights_file(folder / "X3D_M.pyth", seed=1)
    (folder / "X3D_S.pyth").write_text("<html>Please log in.</html>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_absent_weights_say_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "path", "x3d_m"]) == 4

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[0] == "vidbench: the pretrained weights of x3d_m are not here (X3D_M.pyth)"
    assert "vidbench weights pull x3d_m" in said.err


def test_pull_path_list_verify(mirror: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "pull", "x3d_m", "--mirror", mirror]) == 0
    assert capsys.readouterr().out.startswith("x3d_m: downloaded, 0.0 MB, sha256 ")

    assert main(["weights", "path", "x3d_m"]) == 0
    assert capsys.readouterr().out == f"{home / 'X3D_M.pyth'}\n"

    assert main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("x3d_m" in line and "cache" in line and "75.94" in line for line in lines)
    assert any("x3d_l" in line and "missing" in line for line in lines)

    assert main(["weights", "verify"]) == 0
    assert capsys.readouterr().out.startswith("x3d_m: ok, sha256 ")


def test_json_is_all_that_stdout_holds(mirror: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "pull", "x3d_m", "--mirror", mirror, "--json"]) == 0
    pulled = json.loads(capsys.readouterr().out)["weights"][0]
    assert (pulled["action"], pulled["path"]) == ("downloaded", str(home / "X3D_M.pyth"))

    assert main(["weights", "path", "x3d_m", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "x3d_m", "path": str(home / "X3D_M.pyth")}

    assert main(["weights", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == ["x3d_xs", "x3d_s", "x3d_m", "x3d_l"]
    assert rows["x3d_m"]["sha256"] == pulled["sha256"]
    assert rows["x3d_l"]["path"] is None

    assert main(["weights", "verify", "x3d_m", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failed"] == 0


def test_changed_and_missing_files_are_findings(mirror: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "pull", "x3d_m", "--mirror", mirror]) == 0
    weights_file(home / "X3D_M.pyth", seed=2)
    capsys.readouterr()

    assert main(["weights", "verify", "x3d_m", "x3d_l"]) == 6

    said = capsys.readouterr()
    assert [line.split(",")[0] for line in said.out.splitlines()] == ["x3d_m: changed", "x3d_l: missing"]
    assert "2 of 2" in said.err
    assert main(["weights", "path", "x3d_m"]) == 4


def test_local_file(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = weights_file(tmp_path / "mine", seed=3)

    assert main(["weights", "pull", "x3d_s", "--from", str(source)]) == 0

    assert capsys.readouterr().out.startswith("x3d_s: copied")
    assert (home / "X3D_S.pyth").read_bytes() == source.read_bytes()


def test_network_failures_name_address_and_reason(mirror: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "pull", "x3d_l", "--mirror", mirror]) == 7
    assert f"{mirror}/X3D_L.pyth: HTTP 404" in capsys.readouterr().err
    assert main(["weights", "pull", "x3d_s", "--mirror", mirror]) == 7
    assert f"{mirror}/X3D_S.pyth: gave a web page, not weights" in capsys.readouterr().err
    assert sorted(path.name for path in home.iterdir()) == ["X3D_L.pyth.lock", "X3D_S.pyth.lock"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["pull", "x3d_mm"], 3),
        (["path", "x3d_mm"], 3),
        (["verify", "x3d_mm"], 3),
        (["pull", "x3d_tiny"], 3),
        (["pull", "x3d_m", "--from", "none.pyth"], 3),
        (["pull", "x3d_m", "--mirror", "ftp://127.0.0.1"], 2),
        (["pull", "x3d_m", "x3d_s", "--from", "a"], 2),
        (["pull", "x3d_m", "--from", "a", "--mirror", "http://127.0.0.1"], 2),
        (["pull"], 2),
    ],
)
def test_bad_requests(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", *arguments]) == code

    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err


def test_offline(mirror: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VIDBENCH_OFFLINE", "1")

    assert main(["weights", "pull", "x3d_m", "--mirror", mirror]) == 4

    assert "VIDBENCH_OFFLINE" in capsys.readouterr().err
