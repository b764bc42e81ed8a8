"""Persons by a YOLO network of Ultralytics, which is kept from the network, from pip and from the home folder."""

from __future__ import annotations

import os
import re
import shlex
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

from vidbench.cache import home
from vidbench.errors import InputError, MissingError, disk_errors
from vidbench.label.detectors import DetectorSettings, VideoFacts, found_of
from vidbench.label.finite import refuse_non_finite
from vidbench.label.seen import Found, Picture
from vidbench.model.device import resolve_device
from vidbench.net.transfer import locked
from vidbench.progress import SilentReporter
from vidbench.runs import file_sha256

DEFAULT_WEIGHTS = "yolo11n.pt"
CONF, IOU, IMAGE_SIZE = 0.25, 0.7, 640
FAINT = 0.25
"""Of the least score: from there on boxes show where persons are who are missed."""

_ADDRESS = "https://github.com/ultralytics/assets/releases/download/v8.4.0/"
_PUBLISHED = re.compile(r"(yolo(v3|v5|v8|v9|v10|11|12|26)|rtdetr)[a-z0-9-]*\.pt")
_SIGNS = re.compile(r"^ERROR\W*?(?=[\w/.~])")
_BOXES = ("detect", "segment", "pose")
"""Tasks of networks that give upright boxes."""


def detectors_dir() -> Path:
    """Where weights of detectors are looked for by their bare names: `detectors/` in the cache folder."""
    return home() / "detectors"


@lru_cache(maxsize=1)
def ready() -> Callable[..., Any]:
    """Import Ultralytics with all that it does unasked switched off; gives its class YOLO.

    Left to itself, the package looks whether there is a network, writes settings with an id of the machine into the
    home folder, sends usage figures, installs packages it misses and downloads weights. It also changes this process:
    environment, threads of torch, how numpy prints, `PIL.Image.open`, `torch.save`; that is put back.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    folder = home() / "ultralytics"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    ours = {
        "YOLO_OFFLINE": "1",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_CONFIG_DIR": str(folder),
        "YOLO_VERBOSE": "false",
        # files of weights are pickles: only classes of the package itself are made from them
        "ULTRALYTICS_SAFE_LOAD": "1",
    }
    os.environ.update(ours)
    opening, saving, printing = PIL.Image.open, torch.save, np.get_printoptions()
    with _same_process(), warnings.catch_warnings(), locked(folder / "settings", SilentReporter()):
        import ultralytics
        import ultralytics.nn.tasks
        import ultralytics.utils.events

        package: Any = ultralytics
        built: Callable[..., Any] = package.YOLO
        # where others imported it before, the variables came too late
        package.utils.events.events.enabled = False
        package.nn.tasks.SAFE_LOAD = True
        settings = package.settings
        if Path(settings.file).is_relative_to(folder) and settings["sync"]:
            settings.update(sync=False, runs_dir=str(folder), weights_dir=str(folder), datasets_dir=str(folder))
    PIL.Image.open, torch.save = opening, saving
    np.set_printoptions(**printing)
    return built


def build(settings: DetectorSettings, video: VideoFacts) -> Yolo:
    """A detector with the weights that are asked for; a network is loaded once in a process.

    Raises:
        MissingError: Published weights that are not here, or the device.
        InputError: No such file, one that Ultralytics cannot read, or a network that knows no persons.
    """
    path = weights_file(settings.weights or DEFAULT_WEIGHTS)
    facts = path.stat()
    net = _load(path, facts.st_mtime_ns, facts.st_size, str(resolve_device(settings.device)))
    return Yolo(net, settings)


def weights_file(name: str) -> Path:
    """The file of weights that is meant: the path itself, then `detectors/` in the cache folder for a bare name.

    Nothing is ever downloaded.

    Raises:
        MissingError: A published file that is not here; the remedy is the command that brings it.
        InputError: No such file, or not a `.pt` file.
    """
    given = Path(name).expanduser()
    bare = given.name == name
    places = (given, detectors_dir() / name) if bare else (given,)
    for path in places:
        if path.is_file():
            if path.suffix.lower() != ".pt":
                raise InputError(
                    f"{path}: not a .pt file", "Ultralytics' own format is read; exported networks are not."
                )
            return path.absolute()
    if _PUBLISHED.fullmatch(given.name):
        target = places[-1]
        raise MissingError(
            f"the weights {name} are not here; looked for {' and '.join(map(str, places))}",
            f"curl -fL --create-dirs -o {shlex.quote(str(target))} {_ADDRESS}{given.name}",
        )
    raise InputError(
        f"{name}: no such weights file",
        f"Give a .pt file, or the name of one in {detectors_dir()}; YOLO's own are called {DEFAULT_WEIGHTS} and so on.",
    )


class Net:
    """A loaded network.

    Attributes:
        path: Its file.
        sha256: Of the file.
        persons: The indices of its class person.
    """

    def __init__(self, path: Path, device: str) -> None:
        yolo = ready()
        self.path, self.device, self.sha256 = path, device, file_sha256(path)
        with _same_process():
            self._yolo = _read(yolo, path)
        if self._yolo.task not in _BOXES:
            raise InputError(
                f"{path}: a network for the task {self._yolo.task!r}", f"Needed is one for {', '.join(_BOXES)}."
            )
        names: Mapping[int, str] = self._yolo.names
        self.persons = [index for index, name in names.items() if str(name).casefold() == "person"]
        if not self.persons:
            told = ", ".join(map(str, list(names.values())[:20]))
            raise InputError(f"{path}: its network knows no class person", f"It knows {told}.")
        refuse_non_finite(self._yolo.model)

    def __call__(self, images: list[np.ndarray[Any, Any]], **settings: Any) -> list[Any]:
        """Ultralytics' results for pictures in BGR.

        Raises:
            ValueError: The network gives values that are not finite.
        """
        with _same_process():
            results: list[Any] = self._yolo.predict(
                images,
                classes=self.persons,
                batch=len(images),
                device=self.device,
                save=False,
                verbose=False,
                **settings,
            )
        return results


class Yolo:
    """Finds persons, as `vidbench.label.seen.Detector` says.

    Attributes:
        told: The weights and their sha256, for records.
    """

    def __init__(self, net: Net, settings: DetectorSettings) -> None:
        self._net, self._settings = net, settings
        self._conf = CONF if settings.conf is None else settings.conf
        self.told = {"weights": str(net.path), "weights_sha256": net.sha256}

    def __call__(self, pictures: Sequence[Picture]) -> list[Found]:
        """See `vidbench.label.seen.Detector`."""
        if not pictures:
            return []
        settings = self._settings
        results = self._net(
            [np.ascontiguousarray(picture.image[..., ::-1]) for picture in pictures],
            conf=FAINT * self._conf,
            iou=IOU if settings.iou is None else settings.iou,
            imgsz=settings.image_size or IMAGE_SIZE,
            max_det=settings.max_persons,
        )
        found = []
        for picture, result in zip(pictures, results, strict=True):
            height, width = picture.image.shape[:2]
            boxes = result.boxes.xyxy.double().cpu().numpy()
            scores = result.boxes.conf.double().cpu().numpy()
            found.append(
                found_of(boxes, scores, width, height, conf=self._conf, settings=settings, faint=FAINT * self._conf)
            )
        return found


@lru_cache(maxsize=1)
def _load(path: Path, _changed_ns: int, _size: int, device: str) -> Net:
    return Net(path, device)


def _read(yolo: Callable[..., Any], path: Path) -> Any:
    from ultralytics.utils import downloads

    finding = downloads.attempt_download_asset
    # it would mend names (dropping quotes, yolov5n.pt to yolov5nu.pt) and download what then is not there
    downloads.attempt_download_asset = lambda file, *_, **__: str(file)
    try:
        return yolo(str(path))
    except MemoryError:
        raise
    except Exception as error:
        # Ultralytics begins with signs and the path
        told = _SIGNS.sub("", str(error)).removeprefix(str(path)).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"{path}: Ultralytics cannot read it: {told[0]}",
            "Was its download cut off? Needed is a .pt file that Ultralytics 8 wrote; the file was left as it is.",
        ) from error
    finally:
        downloads.attempt_download_asset = finding


@contextmanager
def _same_process() -> Iterator[None]:
    """Put back the threads of torch and the environment, our own switches apart, which Ultralytics changes."""
    threads, before = torch.get_num_threads(), dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
