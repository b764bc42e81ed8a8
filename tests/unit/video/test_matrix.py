"""The clips of the codec matrix and what is told of a decoder."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from vidbench.catalogue import Entry
from vidbench.errors import MissingError
from vidbench.video import matrix
from vidbench.video.clip import VideoError
from vidbench.video.decoder import DECODERS
from vidbench.video.gather import NoFramesError
from vidbench.video.matrix import CODECS, FRAMES, Cell, Codec, count, render


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_clips_have_their_codec_and_frames(tmp_path: Path, codec: Codec) -> None:
    if not set(codec.encoders) & av.codecs_available:
        pytest.skip(f"this PyAV has none of {codec.encoders}")
    assert render(codec, str(tmp_path)) == ""
    assert count(Cell(codec.name, str(tmp_path / codec.file), "pyav")) == f"{FRAMES}/{FRAMES}"
    with av.open(str(tmp_path / codec.file)) as container:
        name = container.streams.video[0].codec_context.codec.canonical_name
    assert name == {"H.264": "h264", "HEVC": "hevc", "VP9": "vp9", "AV1": "av1"}[codec.name]


def test_a_codec_without_encoder_says_so(tmp_path: Path) -> None:
    assert render(Codec("VC-9", ("libvc9", "libother"), "a.mp4"), str(tmp_path)) == (
        "PyAV has no encoder libvc9 or libother"
    )
    assert list(tmp_path.iterdir()) == []


def test_every_way_to_fail_has_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(error: Exception):
        def load():
            raise error

        return load

    def decoder(error: Exception):
        def load():
            def decode(path, wanted):
                raise error

            return decode

        return load

    entries = {
        "absent": Entry("absent", "", raising(ModuleNotFoundError("no", name="nolib")), "x"),
        "lame": Entry("lame", "", raising(MissingError("decoder 'lame' cannot load: libavutil.so.60: not there"))),
        "silent": Entry("silent", "", decoder(NoFramesError("none"))),
        "loud": Entry("loud", "", decoder(VideoError("no decoder"))),
    }
    monkeypatch.setattr(DECODERS, "_entries", {**DECODERS._entries, **entries})
    monkeypatch.setattr(matrix, "DECODERS", DECODERS)
    path = str(tmp_path / "any.mp4")
    assert {name: count(Cell("H.264", path, name)) for name in entries} == {
        "absent": "not installed",
        "lame": "cannot load: libavutil.so.60: not there",
        "silent": f"0/{FRAMES} (no error)",
        "loud": "error: no decoder",
    }
