import importlib
import os
import pickle
import socket
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import yaml

from vidbench.errors import InputError, MissingError
from vidbench.label.detectors import DETECTORS, DetectorSettings, VideoFacts
from vidbench.label.seen import Picture
from vidbench.label.yolo import build, detectors_dir, ready, weights_file

FIGURES = Path(__file__).parents[2] / "figures"
VIDEO = VideoFacts(Path("walk.mp4"), "walk", 96, 64, 30.0)
# an untrained network gives large boxes of low scores everywhere, equal for all classes, so that the first one wins
EASY: dict[str, Any] = {"conf": 1e-4, "image_size": 64, "device": "cpu"}


def write_network(path: Path, names: tuple[str, ...], task: str = "detect") -> Path:
    """The smallest YOLO11, untrained, as Ultralytics writes it."""
    yolo = ready()
    import ultralytics

    kind = {"detect": "yolo11.yaml", "classify": "yolo11-cls.yaml"}[task]
    shape = yaml.safe_load((Path(ultralytics.__file__).parent / "cfg/models/11" / kind).read_text())
    shape |= {"nc": len(names), "scales": {"n": [0.25, 0.0625, 128]}}
    source = path.parent / "tiny.yaml"
    source.write_text(yaml.safe_dump(shape))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = yolo(str(source), task=task)
    network.model.names = dict(enumerate(names))
    network.save(str(path))
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("yolo") / "tiny.pt", ("person", "dog"))


def pictures(count: int, seed: int = 0) -> list[Picture]:
    rng = np.random.default_rng(seed)
    return [Picture(number, rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)) for number in range(count)]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    asked: list[object] = []

    def refuse(*arguments: object, **_: object) -> None:
        asked.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return asked


def test_persons_lie_within_the_picture_surest_first(weights: Path) -> None:
    detector = build(DetectorSettings(weights=str(weights), **EASY), VIDEO)
    found = detector(pictures(3))
    assert len(found) == 3
    for one in found:
        assert 0 < len(one.scores) <= 300
        assert one.boxes.dtype == one.scores.dtype == np.float64
        assert (one.boxes >= 0).all()
        assert (one.boxes <= (96, 64, 96, 64)).all()
        assert (one.boxes[:, 2:] - one.boxes[:, :2] >= 8).all()
        assert (np.diff(one.scores) <= 0).all()
        assert ((one.scores > 0) & (one.scores <= 1)).all()


def test_a_trained_network_finds_the_persons_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FIGURES))
    scene = importlib.import_module("scenes").scene("walk", 11, world="test", size=(320, 240), seconds=4, fps=3)
    told = list(scene.rendered())
    video = VideoFacts(Path("walk.mp4"), "walk", 320, 240, 3.0)
    detector = build(DetectorSettings(weights=str(FIGURES / "figures.pt"), image_size=320, device="cpu"), video)
    found = detector([Picture(number, picture) for number, (picture, _) in enumerate(told)])
    wanted = hit = extra = 0
    for one, (_, truths) in zip(found, told, strict=True):
        seen = [truth.box for truth in truths if truth.visible > 0.6]
        overlaps = np.array([[iou(box, truth) for truth in seen] for box in one.boxes]).reshape(-1, len(seen))
        wanted += len(seen)
        hit += int((overlaps >= 0.6).any(axis=0).sum())
        extra += int((overlaps < 0.3).all(axis=1).sum())
    assert wanted >= 15
    assert hit >= 0.9 * wanted
    assert extra <= 0.1 * wanted


def iou(one: np.ndarray[Any, Any], other: tuple[float, ...]) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    both = float(np.prod(np.clip(high - low, 0, None)))
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (one, other)]
    return both / (sum(areas) - both)


def test_a_batch_gives_what_single_pictures_give(weights: Path) -> None:
    detector = build(DetectorSettings(weights=str(weights), **EASY), VIDEO)
    for alone, together in zip(pictures(3), detector(pictures(3)), strict=True):
        (one,) = detector([alone])
        np.testing.assert_allclose(one.boxes, together.boxes, atol=1e-3)
        np.testing.assert_allclose(one.scores, together.scores, atol=1e-6)
    assert detector([]) == []


def test_the_network_sees_red_as_red(weights: Path) -> None:
    detector = build(DetectorSettings(weights=str(weights), **EASY, iou=0.5), VIDEO)
    seen: list[torch.Tensor] = []
    # the copy that Ultralytics runs is made at its first prediction, and kept
    network = detector._net._yolo
    network.predictor = None
    handle = network.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    red = np.zeros((64, 96, 3), np.uint8)
    red[..., 0] = 255
    detector([Picture(0, red)])
    handle.remove()
    network.predictor = None
    middle = seen[-1][0, :, seen[-1].shape[2] // 2, seen[-1].shape[3] // 2]
    assert middle.tolist() == [1.0, 0.0, 0.0]


def test_conf_min_size_and_max_persons_count(weights: Path) -> None:
    def count(**settings: Any) -> int:
        detector = build(DetectorSettings(weights=str(weights), **{**EASY, **settings}), VIDEO)
        return len(detector(pictures(1))[0].scores)

    everything = count()
    assert everything > 2
    assert count(max_persons=2) == 2
    assert count(conf=0.9) == 0
    assert count(conf=None) == 0
    assert count(min_size=65) == 0


@pytest.mark.parametrize(("names", "some"), [(("person", "dog"), True), (("dog", "Person"), False)])
def test_other_classes_are_left_out(tmp_path: Path, names: tuple[str, ...], some: bool) -> None:
    path = write_network(tmp_path / "two.pt", names)
    detector = build(DetectorSettings(weights=str(path), **EASY), VIDEO)
    assert bool(len(detector(pictures(1))[0].scores)) is some


def test_a_network_that_knows_no_persons_is_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path / "pets.pt", ("cat", "dog"))
    with pytest.raises(InputError, match="no class person") as caught:
        build(DetectorSettings(weights=str(path), **EASY), VIDEO)
    assert "cat, dog" in caught.value.remedy


def test_a_network_without_boxes_is_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path / "classes.pt", ("person", "dog"), task="classify")
    with pytest.raises(InputError, match="task 'classify'"):
        build(DetectorSettings(weights=str(path), **EASY), VIDEO)


def test_values_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    path = write_network(tmp_path / "broken.pt", ("person",))
    network = ready()(str(path))
    with torch.no_grad():
        next(network.model.parameters()).fill_(float("nan"))
    network.save(str(path))
    detector = build(DetectorSettings(weights=str(path), **EASY), VIDEO)
    for _ in range(2):
        with pytest.raises(ValueError, match="not finite"):
            detector(pictures(1))


@pytest.mark.parametrize("name", ["yolo11n.pt", "yolov5n.pt", "yolo26x.pt", "yolov8n-pose.pt"])
def test_published_weights_that_are_not_here_are_named_and_not_fetched(
    name: str, no_network: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingError) as caught:
        DETECTORS.get("yolo")(DetectorSettings(weights=name), VIDEO)
    assert caught.value.exit_code == 4
    assert caught.value.remedy.startswith("curl -fL --create-dirs -o ")
    assert caught.value.remedy.endswith(f"https://github.com/ultralytics/assets/releases/download/v8.4.0/{name}")
    assert str(detectors_dir() / name) in caught.value.remedy
    assert not no_network
    assert not list(tmp_path.iterdir())
    assert not detectors_dir().exists()


def test_missing_weights_in_a_folder_are_to_be_put_there(tmp_path: Path) -> None:
    wanted = tmp_path / "my nets" / "yolo11n.pt"
    with pytest.raises(MissingError) as caught:
        weights_file(str(wanted))
    assert f"-o '{wanted}'" in caught.value.remedy
    assert not wanted.parent.exists()


def test_weights_of_no_known_name_are_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such weights file"):
        weights_file(str(tmp_path / "mine.pt"))
    (tmp_path / "mine.onnx").write_bytes(b"onnx")
    with pytest.raises(InputError, match=r"not a \.pt file"):
        weights_file(str(tmp_path / "mine.onnx"))


def test_a_bare_name_is_found_in_the_cache_after_the_folder(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    detectors_dir().mkdir(parents=True)
    held = detectors_dir() / "yolo11n.pt"
    held.write_bytes(weights.read_bytes())
    assert weights_file("yolo11n.pt") == held
    assert build(DetectorSettings(**EASY), VIDEO).told["weights"] == str(held)
    (tmp_path / "yolo11n.pt").write_bytes(weights.read_bytes())
    assert weights_file("yolo11n.pt") == tmp_path / "yolo11n.pt"


@pytest.mark.parametrize("folder", ["it's mine", "yolov5n.pt", "plain"])
def test_any_path_is_read_as_it_is(weights: Path, tmp_path: Path, folder: str, no_network: list[object]) -> None:
    path = tmp_path / folder / "yolov5n.pt"
    path.parent.mkdir()
    path.write_bytes(weights.read_bytes())
    assert len(build(DetectorSettings(weights=str(path), **EASY), VIDEO)(pictures(1))[0].scores)
    assert not no_network
    assert [one.name for one in path.parent.iterdir()] == ["yolov5n.pt"]


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("evil",)


def _damage(path: Path, kind: str, good: bytes) -> None:
    if kind == "evil":
        # a file of torch.save whose pickle would make a folder
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({"model": _Evil()}, protocol=2))
            archive.writestr("archive/version", "3\n")
            archive.writestr("archive/byteorder", "little")
    else:
        path.write_bytes({"empty": b"", "text": b"<html>404</html>", "cut": good[: len(good) // 2]}[kind])


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "evil"])
def test_a_damaged_file_is_an_input_error_and_stays(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: list[object], kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "yolo11n.pt"
    _damage(path, kind, weights.read_bytes())
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"yolo11n\.pt: Ultralytics cannot read it") as caught:
        build(DetectorSettings(weights="yolo11n.pt", device="cpu"), VIDEO)
    assert "ERROR" not in caught.value.message
    assert caught.value.message.count(str(path)) == 1
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["yolo11n.pt"]
    assert not no_network


def test_a_network_of_tensors_alone_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"model": {"weight": torch.zeros(2)}}, path)
    with pytest.raises(InputError, match="cannot read it"):
        build(DetectorSettings(weights=str(path), device="cpu"), VIDEO)


def test_the_process_stays_as_it_was(weights: Path) -> None:
    environment, opening, saving = dict(os.environ), PIL.Image.open, torch.save
    held = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        detector = build(DetectorSettings(weights=str(weights), **EASY, seed=5), VIDEO)
        detector(pictures(1))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(held)
    assert dict(os.environ) == environment
    assert PIL.Image.open is opening
    assert torch.save is saving
    assert "ultralytics" not in PIL.Image.open.__module__
    assert "ultralytics" not in torch.save.__module__


def test_nothing_is_sent_and_nothing_written_outside_the_cache(weights: Path, tmp_path: Path) -> None:
    home, cache, work, log = (tmp_path / name for name in ("home", "cache", "work", "asked.txt"))
    for folder in (home, work):
        folder.mkdir()
    program = textwrap.dedent("""
        import socket, subprocess, sys

        def refuse(*arguments, **_):
            with open(sys.argv[2], "a") as stream:
                print(arguments, file=stream)
            raise OSError("no network in this test")

        for name in ("connect", "connect_ex", "sendto"):
            setattr(socket.socket, name, refuse)
        socket.getaddrinfo = socket.create_connection = refuse
        starting = subprocess.Popen.__init__
        def watched(self, arguments, *rest, **more):
            if "pip" in str(arguments) or "uv" in str(arguments).split():
                refuse(arguments)
            starting(self, arguments, *rest, **more)
        subprocess.Popen.__init__ = watched

        import os
        import numpy as np
        from pathlib import Path
        from vidbench.label.detectors import DETECTORS, DetectorSettings, VideoFacts
        from vidbench.label.seen import Picture

        os.environ.pop("OMP_NUM_THREADS", None)
        printed = repr(np.array([0.1234567891]))
        settings = DetectorSettings(weights=sys.argv[1], conf=1e-4, image_size=64, device="cpu")
        detector = DETECTORS.get("yolo")(settings, VideoFacts(Path("a.mp4"), "a", 96, 64, 30.0))
        found = detector([Picture(0, np.zeros((64, 96, 3), np.uint8))])
        from ultralytics.utils import SETTINGS, TESTS_RUNNING
        from ultralytics.utils.events import events
        assert not TESTS_RUNNING and not events.enabled and SETTINGS["sync"] is False
        assert "OMP_NUM_THREADS" not in os.environ and printed == repr(np.array([0.1234567891]))
        print(len(found[0].scores), SETTINGS.file)
    """)
    keep = ("PATH", "LD_LIBRARY_PATH", "LANG", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in keep if name in os.environ}
    environment |= {"HOME": str(home), "VIDBENCH_HOME": str(cache), "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", program, str(weights), str(log)]
    told = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    count, settings = told.stdout.split()
    assert int(count) > 0
    assert Path(settings).is_relative_to(cache)
    assert told.stderr == ""
    assert not log.exists(), log.read_text()
    assert not list(home.iterdir())
    assert not list(work.iterdir())


def test_a_missing_package_is_an_error_with_the_extra(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] == "ultralytics":
                    raise ModuleNotFoundError("No module named 'ultralytics'", name="ultralytics")

        sys.meta_path.insert(0, Absent())
        from vidbench.errors import MissingError
        from vidbench.label.detectors import DETECTORS
        assert len(list(DETECTORS)) >= 4
        try:
            DETECTORS.get("yolo")
        except MissingError as error:
            print(error)
    """)
    environment = {**os.environ, "VIDBENCH_HOME": str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "needs the package 'ultralytics'" in told
    assert "pip install 'vidbench[label]'" in told
