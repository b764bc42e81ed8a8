"""`vidbench weights`: exit codes, streams and files."""

from __future__ import annotations

import json
import pickle
import random
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vidbench.cli.app import main
from vidbench.model.remap import from_pyslowfast_names, from_vidbench
from vidbench.model.zoo import MODELS


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
    assert list(rows)[:4] == ["x3d_xs", "x3d_xs@pyslowfast", "x3d_s", "x3d_s@pyslowfast"]
    assert (rows["x3d_s@mmaction2"]["model"], rows["x3d_s@mmaction2"]["protocol"]) == ("x3d_s", "mmaction2")
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


def test_a_tag_means_another_file(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = weights_file(tmp_path / "mine", seed=7)

    assert main(["weights", "pull", "x3d_s@pyslowfast", "--from", str(source)]) == 0
    assert capsys.readouterr().out.startswith("x3d_s@pyslowfast: copied")
    kept = home / "x3d_models" / "x3d_s.pyth"
    # the same file, measured by somebody else
    for name in ("x3d_s@pyslowfast", "x3d_s@mmaction2"):
        assert main(["weights", "path", name]) == 0
        assert capsys.readouterr().out == f"{kept}\n"
    assert main(["weights", "path", "x3d_s"]) == 4
    assert "(X3D_S.pyth)" in capsys.readouterr().err
    assert main(["weights", "path", "x3d_m@pyslowfast"]) == 4
    assert "vidbench weights pull x3d_m@pyslowfast" in capsys.readouterr().err

    assert main(["weights", "verify"]) == 0
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["x3d_s@pyslowfast: ok"]
    assert main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(
        re.search(r"x3d_s@mmaction2 +cache +0\.0 MB +73\.30 \(10x3\) +mmaction2 +kinetics400", line) for line in lines
    )
    assert all("@" not in line or re.match(r" \S+@\S+ +(cache|missing) ", line) for line in lines), "a name is folded"


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
        (["path", "x3d_m@pyslowfest"], 3),
        (["pull", "x3d_m@"], 3),
        (["verify", "x3d_tiny@pyslowfast"], 3),
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


# --- import and export -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pyslowfast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as PySlowFast saves it, of a small X3D."""
    torch.manual_seed(4)
    state = from_vidbench(MODELS.get("x3d_tiny").build(6).state_dict(), "x3d_tiny", "pyslowfast")
    path = tmp_path_factory.mktemp("theirs") / "any name.bin"
    config = "DATA:\n  NUM_FRAMES: 8\n  SAMPLING_RATE: 5\n"
    torch.save({"epoch": 3, "model_state": state, "optimizer_state": {}, "cfg": config}, path)
    return path


def test_import_export_import(pyslowfast: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "import", str(pyslowfast), "--model", "x3d_tiny"]) == 0
    said = capsys.readouterr()
    kept = home / "imported" / "x3d_tiny.safetensors"
    count = len(MODELS.get("x3d_tiny").build(6).state_dict())
    theirs = len(torch.load(pyslowfast)["model_state"])
    assert said.out.startswith(
        f"x3d_tiny: {theirs} of {theirs} tensors mapped (names: pyslowfast), {count} of {count} of"
    )
    record = json.loads(kept.with_name(kept.name + ".json").read_text())
    assert (record["dialect"], record["source"], record["size"]) == (
        "pyslowfast",
        str(pyslowfast),
        kept.stat().st_size,
    )
    assert main(["weights", "path", "x3d_tiny"]) == 0
    assert capsys.readouterr().out == f"{kept}\n"

    for form in ("pyslowfast", "pytorchvideo", "safetensors"):
        out, back = tmp_path / form, tmp_path / f"{form}.back"
        assert main(["weights", "export", "x3d_tiny", "--to", form, "--out", str(out), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["to"] == form
        assert main(["weights", "import", str(out), "--model", "x3d_tiny", "--out", str(back)]) == 0
        first, second = load_file(kept), load_file(back)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
        capsys.readouterr()
    exported = torch.load(tmp_path / "pyslowfast")
    assert list(exported) == ["model_state"]
    assert all(
        torch.equal(value, torch.load(pyslowfast)["model_state"][k]) for k, value in exported["model_state"].items()
    )


def test_wrong_file_is_named_with_what_it_is(
    pyslowfast: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "import", str(pyslowfast), "--model", "x3d_xs"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert "missing: " in said.err
    assert "in all)" in said.err
    assert "It looks like x3d_tiny; you asked for x3d_xs." in said.err
    assert not (home / "imported").exists()

    missing_one = torch.load(pyslowfast)
    del missing_one["model_state"]["s3.pathway0_res0.branch1.weight"]
    torch.save(missing_one, tmp_path / "less")
    assert main(["weights", "import", str(tmp_path / "less"), "--model", "x3d_tiny"]) == 3
    assert "missing: blocks.2.res_blocks.0.branch1_conv.weight\n" in capsys.readouterr().err


def test_other_sampling_is_refused_unless_asked_for(
    pyslowfast: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(pyslowfast)
    content["cfg"] = content["cfg"].replace("NUM_FRAMES: 8", "NUM_FRAMES: 16")
    torch.save(content, tmp_path / "16")
    command = ["weights", "import", str(tmp_path / "16"), "--model", "x3d_tiny", "--out", str(tmp_path / "out")]

    assert main(command) == 3
    assert "says 16 frames x stride 5, x3d_tiny takes 8 x 5" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*command, "--other-sampling"]) == 0


def test_caffe2_pickle_is_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(5)
    own = MODELS.get("slow_r50").build(400).state_dict()
    theirs = from_vidbench(own, "slow_r50", "pyslowfast")
    names = from_pyslowfast_names(list(theirs), "resnet", "caffe2")
    blobs = {names[key]: value.numpy() for key, value in theirs.items() if key in names}
    blobs["conv1_w_momentum"] = np.zeros(3, dtype="f4")
    path = tmp_path / "slow.pkl"
    path.write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))

    assert main(["weights", "import", str(path), "--model", "slow_r50", "--out", str(tmp_path / "out")]) == 0

    assert f"slow_r50: {len(blobs) - 1} of {len(blobs)} tensors mapped (names: caffe2)" in capsys.readouterr().out
    written = load_file(tmp_path / "out")
    assert written.keys() == own.keys()
    assert all(torch.equal(written[name], own[name]) for name in own)


def as_caffe2(state: dict[str, torch.Tensor], kind: str) -> dict[str, np.ndarray]:
    names = from_pyslowfast_names(list(state), kind, "caffe2", True)
    return {names[key]: value.numpy() for key, value in state.items() if key in names}


def test_a_detectors_weights_go_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "slow_r50_detection"
    whole = tmp_path / "own"
    assert main(["weights", "export", name, "--weights", "random", "--to", "safetensors", "--out", str(whole)]) == 0
    own = load_file(whole)
    for form in ("pyslowfast", "pytorchvideo"):
        out, back = tmp_path / form, tmp_path / f"{form}.back"
        words = ["weights", "export", name, "--weights", str(whole), "--to", form, "--out", str(out)]
        assert main(words) == 0
        assert main(["weights", "import", str(out), "--model", name, "--out", str(back)]) == 0
        assert f"(names: {form})" in capsys.readouterr().out
        second = load_file(back)
        assert own.keys() == second.keys()
        assert all(torch.equal(own[key], second[key]) for key in own)
    blobs = as_caffe2(torch.load(tmp_path / "pyslowfast")["model_state"], "resnet")
    (tmp_path / "c2.pkl").write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    words = ["weights", "import", str(tmp_path / "c2.pkl"), "--model", name, "--out", str(tmp_path / "c2")]
    assert main(words) == 0
    assert "(names: caffe2)" in capsys.readouterr().out
    second = load_file(tmp_path / "c2")
    assert all(torch.equal(own[key], second[key]) for key in own)

    del blobs["pred_w"]
    (tmp_path / "c2.pkl").write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    assert main(words) == 3
    assert "missing: detection_head.proj.weight" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("resnet50", "resnet50"), pytest.param("swin_s", "swin_small_patch4_window7_224", marks=pytest.mark.slow)],
)
def test_files_of_timm_go_round(name: str, theirs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timm = pytest.importorskip("timm")
    state = timm.create_model(theirs, num_classes=1000).state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "model.safetensors")
    torch.save(state, tmp_path / "model.pth")
    for suffix in ("safetensors", "pth"):
        source, kept, out = (tmp_path / f"{stem}.{suffix}" for stem in ("model", "kept", "out"))
        assert main(["weights", "import", str(source), "--model", name, "--out", str(kept)]) == 0
        assert f"{name}: {len(state)} of {len(state)} tensors mapped (names: timm)" in capsys.readouterr().out
        words = ["weights", "export", name, "--weights", str(kept), "--to", "timm", "--out", str(out)]
        assert main(words) == 0
        back = timm.create_model(theirs, checkpoint_path=str(out)).state_dict()
        assert all(torch.equal(back[key], state[key]) for key in state)
    capsys.readouterr()
    assert main(["weights", "import", str(tmp_path / "model.pth"), "--model", f"{name}_attention"]) == 3
    assert "missing: attention.query.weight" in capsys.readouterr().err


def test_a_file_of_a_detector_of_persons_is_imported_but_not_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "ssdlite320_mobilenet_v3_large"
    net = MODELS.get(name).build(91)
    torch.save(net.state_dict(), tmp_path / "a.pth")
    assert main(["weights", "import", str(tmp_path / "a.pth"), "--model", name, "--out", str(tmp_path / "b")]) == 0
    second = load_file(tmp_path / "b")
    assert all(torch.equal(value, second[key]) for key, value in net.state_dict().items())
    words = ["weights", "export", name, "--weights", "random", "--to", "torchvision", "--out", str(tmp_path / "c")]
    capsys.readouterr()
    assert main(words) == 3
    assert "finds persons in images" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_damaged_import_is_not_passed_over(
    pyslowfast: Path, mirror: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "import", str(pyslowfast), "--model", "x3d_tiny"]) == 0
    kept = home / "imported" / "x3d_tiny.safetensors"
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    capsys.readouterr()

    assert main(["weights", "path", "x3d_tiny"]) == 4
    assert "the imported weights of x3d_tiny are damaged" in capsys.readouterr().err
    assert main(["weights", "verify", "x3d_tiny"]) == 6
    assert main(["weights", "import", str(pyslowfast), "--model", "x3d_tiny"]) == 0
    assert main(["weights", "path", "x3d_tiny"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["import", "none.pyth", "--model", "x3d_tiny"], 3),
        (["import", "none.pyth", "--model", "x3d_tinyy"], 3),
        (["import", "none.pyth"], 2),
        (["export", "x3d_m", "--to", "pyslowfast", "--out", "a"], 4),
        (["export", "x3d_tiny", "--weights", "random", "--to", "caffe2", "--out", "a"], 2),
        (["export", "x3d_tiny", "--weights", "random", "--to", "torchvision", "--out", "a"], 3),
        (["export", "x3d_tiny", "--weights", "random", "--to", "timm", "--out", "a"], 3),
        (["export", "slow_r50_detection", "--to", "pyslowfast", "--out", "a"], 4),
    ],
)
def test_bad_imports_and_exports(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", *arguments]) == code

    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
