"""Files to tensors, tensors to networks, and our own files, on real networks and real files."""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import vidbench
from vidbench.errors import InputError
from vidbench.model.checkpoint import (
    ModelInfo,
    load_strict,
    read_model,
    read_state,
    save_model,
    sniff,
)
from vidbench.model.x3d import HEAD, build_x3d
from vidbench.model.zoo import Preprocess

CLASSES = tuple("abcdefgh")


def small(seed: int = 0, classes: int = 8) -> nn.Module:
    torch.manual_seed(seed)
    return build_x3d("tiny", classes)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def info(**changes: Any) -> ModelInfo:
    base = ModelInfo("x3d_tiny", CLASSES, Preprocess(8, 5, 64, 64, 64), "random", {"epochs": 3, "seed": 0})
    return replace(base, **changes)


# --- reading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_published_layout_of_x3d_xs_loads_whole(tmp_path: Path, zipped: bool) -> None:
    from pytorchvideo.models import hub

    torch.manual_seed(1)
    theirs = hub.x3d_xs(pretrained=False)
    path = tmp_path / "X3D_XS.pyth"
    content = {"epoch": 300, "model_state": theirs.state_dict(), "optimizer_state": {"lr": [0.1]}, "cfg": "TRAIN:"}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    ours = build_x3d("xs", 400)

    state = read_state(path)
    report = load_strict(ours, state.tensors, source=str(path))

    assert state.kind == ("torch-zip" if zipped else "torch-legacy")
    assert state.container == "model_state"
    assert state.source_keys == ("epoch", "model_state", "optimizer_state", "cfg")
    assert (report.loaded, report.replaced) == (563, ())
    assert same(dict(ours.state_dict()), dict(theirs.state_dict()))


@pytest.mark.parametrize("container", ["model_state", "state_dict", "model", ""])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
def test_containers_and_prefixes_come_off(tmp_path: Path, container: str, prefix: str) -> None:
    tensors = {"a.weight": torch.ones(2), "b.bias": torch.zeros(3)}
    named = {prefix + name: value for name, value in tensors.items()}
    path = tmp_path / "a.pth"
    torch.save({container: named, "epoch": 1} if container else named, path)

    state = read_state(path)

    assert same(state.tensors, tensors)
    assert "".join(state.prefixes) == prefix
    assert state.container == container


def test_prefix_of_only_some_names_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, path)

    assert list(read_state(path).tensors) == ["module.a", "b"]


def test_safetensors_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "a.pyth"
    tensors = {"a": torch.arange(4.0), "b": torch.ones(2, dtype=torch.float16)}
    save_file(tensors, path)

    state = read_state(path)

    assert (state.kind, state.container, state.source_keys) == ("safetensors", "", ())
    assert same(state.tensors, tensors)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_file_that_would_run_code_is_refused(tmp_path: Path, zipped: bool) -> None:
    path, mark = tmp_path / "a.pth", tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
            return open, (str(mark), "w")

    content = {"model_state": {"a": torch.ones(1)}, "extra": Bomb()}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)

    with pytest.raises(InputError, match="could run code"):
        read_state(path)

    assert not mark.exists()


def test_refusal_names_the_class(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"model_state": {"a": torch.ones(1)}, "cfg": argparse.Namespace(a=1)}, path)

    with pytest.raises(InputError, match=r"argparse\.Namespace") as caught:
        read_state(path)

    assert "\n" not in caught.value.message


@pytest.mark.parametrize("protocol", [2, 5])
def test_caffe2_pickle_under_any_name(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "a.pyth"
    blobs = {"conv1_w": np.arange(6, dtype=">f4").reshape(2, 3), "pred_b": np.ones(2), "lr": np.float32(0.1)}
    path.write_bytes(pickle.dumps({"blobs": blobs}, protocol=protocol))

    state = read_state(path)

    assert (state.kind, state.container, state.prefixes) == ("pickle", "blobs", ())
    assert list(state.tensors) == ["conv1_w", "pred_b", "lr"]
    assert state.tensors["conv1_w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert state.tensors["pred_b"].dtype is torch.float64


def test_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"weights": {"conv1_w": [1.0]}}, protocol=2))

    with pytest.raises(InputError, match="without Caffe2's 'blobs'; it holds weights"):
        read_state(path)


def test_configuration_beside_the_tensors_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.pyth"
    torch.save({"model_state": {"a": torch.ones(1)}, "cfg": "DATA:\n  NUM_FRAMES: 8\n"}, path)

    assert read_state(path).config == "DATA:\n  NUM_FRAMES: 8\n"


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning", "ignore:.*torch.jit.*:DeprecationWarning")
def test_traced_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), path)

    with pytest.raises(InputError, match="TorchScript"):
        read_state(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"weights": {"a": torch.ones(1)}, "epoch": 3}, "top-level keys are weights, epoch"),
        ({"model": {"a": torch.ones(1)}, "state_dict": {"a": torch.ones(1)}}, "more than one"),
        ({"state_dict": {"a": torch.ones(1), "step": 3}}, "holds more than tensors: step"),
        ({"state_dict": {}}, "is empty"),
        ({}, "holds nothing"),
        ([torch.ones(1)], "holds a list"),
        (torch.ones(1), "holds a Tensor"),
        ({"a": torch.ones(2).to_sparse()}, "sparse"),
        ({f"key{index}": index for index in range(30)}, r"key19, \.\.\. \(30 in all\)"),
    ],
)
def test_other_content_is_named(tmp_path: Path, content: object, reason: str) -> None:
    path = tmp_path / "a.pth"
    torch.save(content, path)

    with pytest.raises(InputError, match=reason):
        read_state(path)


def test_no_file_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_state(tmp_path / "none.pth")
    with pytest.raises(InputError, match="a folder"):
        read_state(tmp_path)
    whole = tmp_path / "whole.pth"
    damaged = tmp_path / "damaged.pth"
    for zipped in (True, False):
        torch.save({"a": torch.arange(5000.0)}, whole, _use_new_zipfile_serialization=zipped)
        for kept in (0, 20, 300, 10_000):
            damaged.write_bytes(whole.read_bytes()[:kept])
            with pytest.raises(InputError, match=r"damaged\.pth"):
                read_state(damaged)
    save_file({"a": torch.arange(5000.0)}, whole)
    for kept in (4, 40, 300):
        damaged.write_bytes(whole.read_bytes()[:kept])
        with pytest.raises(InputError, match=r"damaged\.pth"):
            read_state(damaged)


def test_a_flipped_bit_is_found_by_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "flipped.pth"
    torch.save({"a": torch.arange(5000.0)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(InputError, match=r"flipped\.pth: damaged: the checksum of flipped/data/0"):
        read_state(path)


# --- fitting -----------------------------------------------------------------------------------------------


def test_every_difference_is_named_and_nothing_is_loaded() -> None:
    net = small()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    tensors = {name: value + 1 for name, value in before.items()}
    del tensors["blocks.0.norm.weight"]
    tensors["extra.weight"] = torch.ones(1)
    tensors["blocks.5.proj.bias"] = torch.ones(9)

    with pytest.raises(InputError) as caught:
        load_strict(net, tensors, source="other.pyth")

    assert caught.value.message == (
        "other.pyth does not fit the network; missing: blocks.0.norm.weight; unexpected: extra.weight; "
        "of another shape: blocks.5.proj.bias (9) float32 for (8) float32"
    )
    assert same(dict(net.state_dict()), before)


def test_wrong_file_never_looks_like_success() -> None:
    net = small()
    with pytest.raises(InputError, match=r"missing: .*, \.\.\. \(\d+ in all\); unexpected: weight, bias"):
        load_strict(net, nn.Linear(2, 2).state_dict(), source="linear.pth", allow_replaced_head=HEAD)
    with pytest.raises(InputError):
        load_strict(net, {}, source="empty.pth")
    with pytest.raises(InputError, match="no tensor of this file"):
        load_strict(nn.Linear(2, 2), {}, source="empty.pth", allow_replaced_head="")


def test_only_the_allowed_head_may_differ() -> None:
    kinetics, net = small(1, classes=400), small(2)
    fresh = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(InputError, match=r"of another shape: blocks\.5\.proj\.weight"):
        load_strict(net, kinetics.state_dict(), source="k.pth")

    report = load_strict(net, kinetics.state_dict(), source="k.pth", allow_replaced_head=HEAD)

    assert report.replaced == ("blocks.5.proj.weight", "blocks.5.proj.bias")
    assert report.loaded == len(fresh) - 2
    for name, value in net.state_dict().items():
        assert torch.equal(value, fresh[name] if name.startswith(HEAD) else kinetics.state_dict()[name])

    tensors = dict(kinetics.state_dict())
    del tensors["blocks.0.norm.weight"]
    with pytest.raises(InputError, match=r"missing: blocks\.0\.norm\.weight\n"):
        load_strict(net, tensors, source="k.pth", allow_replaced_head=HEAD)


def test_head_is_never_taken_by_half() -> None:
    net = small(3)
    tensors = {name: value + 1 for name, value in small(4).state_dict().items()}
    del tensors["blocks.5.proj.bias"]
    weight = net.state_dict()["blocks.5.proj.weight"].clone()

    report = load_strict(net, tensors, source="a.pth", allow_replaced_head=HEAD)

    assert report.replaced == ("blocks.5.proj.weight", "blocks.5.proj.bias")
    assert torch.equal(net.state_dict()["blocks.5.proj.weight"], weight)


def test_head_that_fits_is_loaded_and_says_so() -> None:
    source, net = small(5), small(6)

    report = load_strict(net, source.state_dict(), source="a.pth", allow_replaced_head=HEAD)

    assert report.replaced == ()
    assert same(dict(net.state_dict()), dict(source.state_dict()))


def test_unknown_head_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="head"):
        load_strict(small(), small().state_dict(), source="a", allow_replaced_head="head.")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precision_becomes_the_networks(dtype: torch.dtype) -> None:
    net = small()
    tensors = {
        name: value.to(dtype) if value.is_floating_point() else value for name, value in small(7).state_dict().items()
    }

    load_strict(net, tensors, source="half.pth")

    assert {value.dtype for value in net.state_dict().values()} == {torch.float32, torch.int64}
    for name, value in net.state_dict().items():
        assert torch.equal(value, tensors[name].to(value.dtype))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_broken_values_are_named(value: float) -> None:
    net = small()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    tensors = {name: tensor.clone() for name, tensor in small(8).state_dict().items()}
    tensors["blocks.1.res_blocks.0.branch2.norm_a.running_var"][0] = value

    with pytest.raises(InputError, match=r"blocks\.1\.res_blocks\.0\.branch2\.norm_a\.running_var"):
        load_strict(net, tensors, source="nan.pth")

    assert same(dict(net.state_dict()), before)


def test_whole_numbers_are_no_weights() -> None:
    net = nn.Linear(2, 2)

    with pytest.raises(InputError, match=r"weight \(2, 2\) int64 for \(2, 2\) float32"):
        load_strict(net, {"weight": torch.ones(2, 2, dtype=torch.int64), "bias": torch.ones(2)}, source="a")


def test_pyslowfast_names_are_recognised() -> None:
    names = ("s1.pathway0_stem.conv_xy.weight", "s2.pathway0_res0.branch1_bn.weight", "head.projection.weight")

    with pytest.raises(InputError) as caught:
        load_strict(small(), {name: torch.ones(1) for name in names}, source="x3d_m.pyth")

    assert "PySlowFast" in caught.value.remedy
    assert "vidbench weights import" in caught.value.remedy


# --- our own files -----------------------------------------------------------------------------------------


def test_saved_model_reads_back_equal(tmp_path: Path) -> None:
    net = small(9)
    path = save_model(tmp_path / "run", net.state_dict(), info())

    back, tensors = read_model(tmp_path / "run")

    assert path == tmp_path / "run" / "model.json"
    assert back == info()
    assert tensors == tmp_path / "run" / "model.safetensors"
    assert sniff(tensors) == "safetensors"
    other = small(10)
    assert load_strict(other, read_state(tensors).tensors, source=str(tensors)).replaced == ()
    assert same(dict(other.state_dict()), dict(net.state_dict()))
    assert read_model(path) == read_model(tensors) == (back, tensors)
    assert {item.name for item in (tmp_path / "run").iterdir()} == {"model.json", "model.safetensors"}


WRITER = """
from pathlib import Path
import torch
from vidbench.model.checkpoint import ModelInfo, save_model
from vidbench.model.zoo import Preprocess

names = [f"layer{index}.weight" for index in range(40)]
state = {name: torch.full((3, index % 5 + 1), float(index)) for index, name in enumerate(names)}
state["steps"] = torch.tensor(3)
if order == "reversed":
    state = dict(reversed(state.items()))
info = ModelInfo("x3d_tiny", ("a", "b"), Preprocess(8, 5, 64, 64, 64), "random", {"seed": 0})
save_model(Path(folder), state, info)
"""


def test_equal_input_gives_equal_bytes_in_any_process(tmp_path: Path) -> None:
    exec(WRITER, {"folder": str(tmp_path / "forward"), "order": "forward"})
    subprocess.run(
        [sys.executable, "-c", f"folder, order = {str(tmp_path / 'reversed')!r}, 'reversed'\n{WRITER}"],
        check=True,
        cwd=Path(vidbench.__file__).parents[1],
        timeout=120,
    )

    for name in ("model.json", "model.safetensors"):
        assert (tmp_path / "forward" / name).read_bytes() == (tmp_path / "reversed" / name).read_bytes()


def test_views_and_shared_storage_are_saved_as_they_are_seen(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    state = {"a": base.t(), "b": base, "c": base[1], "d": nn.Parameter(base[:, 1])}

    save_model(tmp_path, state, info())

    assert same(read_state(read_model(tmp_path)[1]).tensors, {name: value.detach() for name, value in state.items()})


def test_torn_pair_is_told(tmp_path: Path) -> None:
    save_model(tmp_path / "old", {"a": torch.zeros(2)}, info())
    save_model(tmp_path / "new", {"a": torch.ones(2)}, info())
    # what a kill between the two renames leaves: new tensors beside the old document
    (tmp_path / "new" / "model.safetensors").replace(tmp_path / "old" / "model.safetensors")

    with pytest.raises(InputError, match="sha256"):
        read_model(tmp_path / "old")
    with pytest.raises(InputError, match="no such file"):
        read_model(tmp_path / "new")
    with pytest.raises(InputError, match="no such file"):
        read_model(tmp_path)


def test_other_file_beside_a_model_is_not_taken_for_it(tmp_path: Path) -> None:
    save_model(tmp_path, {"a": torch.zeros(2)}, info())
    (tmp_path / "other.pth").write_bytes(b"x")

    with pytest.raises(InputError, match="not a model of vidbench"):
        read_model(tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("schema_version", 2, "schema_version: Input should be 1"),
        ("architecture", "x3d_xxl", "architecture: no model of the catalogue is called 'x3d_xxl'"),
        ("architecture", None, "architecture: Input should be a valid string"),
        ("classes", [], "classes: "),
        ("classes", ["a", "a"], "classes: 'a' occurs twice"),
        ("classes", ["a", " "], "classes: a blank name"),
        ("classes", ["a", 3], r"classes\.1: Input should be a valid string"),
        ("classes", "ab", "classes: "),
        ("preprocess.frames", "8", r"preprocess\.frames: Input should be a valid integer"),
        ("preprocess.frames", 0, r"preprocess\.frames: must be at least 1"),
        ("preprocess.std", [1.0, 0.0, 1.0], r"preprocess\.std: must be positive"),
        ("preprocess.mean", [0.4], r"preprocess\.mean"),
        ("preprocess.mean", ..., r"preprocess\.mean: Field required"),
        ("preprocess.fps", 30, r"preprocess\.fps: Unexpected"),
        ("init", ..., "init: Field required"),
        ("trained", [], "trained: "),
        ("colour", "red", "colour: Extra inputs"),
        ("weights.sha256", "abc", r"weights\.sha256: "),
        ("weights.file", "../secret", r"weights\.file: "),
    ],
)
def test_wrong_field_is_named(tmp_path: Path, field: str, value: object, reason: str) -> None:
    path = save_model(tmp_path, {"a": torch.zeros(2)}, info())
    document = json.loads(path.read_text())
    *outer, last = field.split(".")
    place = document[outer[0]] if outer else document
    if value is ...:
        del place[last]
    else:
        place[last] = value
    path.write_text(json.dumps(document))

    with pytest.raises(InputError, match=f"model.json: {reason}"):
        read_model(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\ufffd\x00"])
def test_document_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    path = save_model(tmp_path, {"a": torch.zeros(2)}, info())
    path.write_text(text)

    with pytest.raises(InputError, match=r"model\.json: "):
        read_model(tmp_path)


@pytest.mark.parametrize(
    ("state", "about", "reason"),
    [
        ({"a": torch.ones(1)}, info(classes=("a", "a")), "occurs twice"),
        ({"a": torch.ones(1)}, info(architecture="x3d_xxl"), "architecture"),
        ({"a": torch.full((1,), torch.nan)}, info(), "NaN or infinite values in a"),
        ({}, info(), "no tensors"),
    ],
)
def test_bad_save_leaves_the_model_that_is_there(
    tmp_path: Path, state: dict[str, Tensor], about: ModelInfo, reason: str
) -> None:
    save_model(tmp_path, {"a": torch.zeros(2)}, info())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(InputError, match=reason):
        save_model(tmp_path, state, about)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
