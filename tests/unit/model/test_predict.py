"""Whole videos, clip after clip: the same figures as evaluation, the right names, and nothing left out."""

import csv
import io
import math
from pathlib import Path

import pytest

from vidbench.data.synthetic import CLASSES
from vidbench.errors import InputError, UsageError
from vidbench.model import predict as module
from vidbench.model.layout import fast_layout
from vidbench.model.predict import CSV_FIELDS, PredictRequest, class_names, dump_csv, predict
from vidbench.model.predict_sources import find_sources
from vidbench.model.protocol import RULES, Protocol, Views
from vidbench.model.resolve import load_model
from vidbench.model.scoring import Scored, Scorer
from vidbench.model.views import video_views
from vidbench.video.clip import Frames
from vidbench.video.decoder import DECODERS
from vidbench.video.transforms import scale


def ask(model: Path, *sources: Path, **more) -> PredictRequest:
    return PredictRequest(sources=tuple(map(str, sources)), model=str(model), device="cpu", **more)


@pytest.mark.parametrize("crops", [1, 3])
def test_a_video_of_one_clip_scores_as_evaluation_scores_it(small_model, make_video, crops) -> None:
    video = make_video(frames=40, size=(96, 72))
    (found,) = predict(ask(small_model, video, crops=crops, top=6)).videos
    model = load_model(str(small_model))
    size = model.classifier.preprocess
    protocol = Protocol(RULES["pyslowfast"], Views(1, crops))
    # as evaluation reads it with --resize exact: scaled after decoding, not rounded
    short_side, _ = protocol.views.side(size)
    frames = DECODERS.get("pyav")(video, lambda info: set(sum(protocol.frames(size, info.frames, info.fps), ())))
    scaled = scale(frames, short_side).mul(255).permute(0, 2, 3, 1).numpy()
    views = video_views(Frames(frames.info, frames.indices, scaled), size, protocol)
    ((_, scored),) = Scorer(fast_layout(model.classifier), protocol, 3).score([(video, views)])
    assert isinstance(scored, Scored)
    expected = scored.scores
    assert not found.short
    (clip,) = found.clips
    assert (clip.start_s, clip.end_s) == pytest.approx((0, 40 / 30), abs=1e-3)
    assert {guess.label: guess.probability for guess in clip.top} == pytest.approx(dict(enumerate(expected)), abs=1e-6)
    assert [guess.name for guess in clip.top] == [CLASSES[guess.label] for guess in clip.top]
    assert clip.top == found.top


@pytest.mark.parametrize("batch", [1, 4])
def test_a_long_video_is_covered_and_its_classes_are_the_mean_of_its_clips(small_model, make_video, batch) -> None:
    video = make_video(frames=150)
    (found,) = predict(ask(small_model, video, top=6, batch=batch)).videos
    assert [(clip.start_frame, clip.end_frame) for clip in found.clips] == [(0, 40), (40, 80), (80, 120), (110, 150)]
    for guess in found.top:
        each = [one.probability for clip in found.clips for one in clip.top if one.label == guess.label]
        assert guess.probability == pytest.approx(sum(each) / 4, abs=1e-6)
    assert [guess.probability for guess in found.top] == sorted((g.probability for g in found.top), reverse=True)


def test_other_rates_and_short_videos(small_model, make_video) -> None:
    slow, short = make_video("slow.mp4", frames=30, fps="10"), make_video("short.mp4", frames=5)
    first, second = predict(ask(small_model, slow, short, top=1)).videos
    # a clip is 4/3 s at any rate
    assert [round(clip.end_s - clip.start_s, 1) for clip in first.clips] == [1.4, 1.4, 1.4]
    assert first.clips[-1].end_s == pytest.approx(3.0, abs=1e-3)
    assert (first.short, second.short, len(second.clips), second.frames) == (False, True, 1, 5)


def test_a_broken_video_is_data_and_the_others_go_on(small_model, make_video, tmp_path) -> None:
    good = make_video()
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(good.read_bytes()[:900])
    out = tmp_path / "out"
    result = predict(ask(small_model, bad, good, overlay=out, csv=tmp_path / "x.csv"))
    assert [video.status for video in result.videos] == ["failed", "ok"]
    assert result.failed == 1
    assert result.videos[0].reason
    assert sorted(path.name for path in out.iterdir()) == ["clip.mp4"]
    assert "bad.mp4" not in (tmp_path / "x.csv").read_text()


def test_lists_give_labels_and_folders_are_looked_through(small_model, make_video, tmp_path) -> None:
    make_video("set/a/one.mp4", frames=8)
    make_video("set/b/one.mp4", frames=8)
    (tmp_path / "list.txt").write_text("set/a/one.mp4 2\nset/b/one.mp4 77\n")
    out = tmp_path / "set" / "drawn"
    listed = predict(ask(small_model, tmp_path / "list.txt", overlay=out)).videos
    assert [(one.video, one.truth, one.truth_name) for one in listed] == [
        ("set/a/one.mp4", 2, CLASSES[2]),
        ("set/b/one.mp4", 77, None),
    ]
    assert (out / "set" / "b" / "one.mp4").is_file()
    again = predict(ask(small_model, tmp_path / "set", overlay=out)).videos
    # what an overlay wrote is not looked at as a video of the folder
    assert [one.video for one in again] == [str(tmp_path / "set" / name / "one.mp4") for name in "ab"]


def test_class_names_come_from_the_file_the_model_the_table_or_are_numbers(small_model, tmp_path) -> None:
    own, published, tiny = (
        load_model(name, weights=weights)
        for name, weights in ((str(small_model), "pretrained"), ("x3d_xs", "random"), ("x3d_tiny", "random"))
    )
    assert class_names(own) == CLASSES
    assert class_names(published)[5] == "archery"
    assert class_names(tiny) == ("0", "1", "2", "3", "4", "5")
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\ne\nü\n")
    assert class_names(own, str(tmp_path / "names.txt"))[5] == "ü"
    (tmp_path / "names.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"2 classes, but .* has 6"):
        class_names(own, str(tmp_path / "names.txt"))


def test_a_csv_reads_back_whatever_the_names(small_model, make_video, tmp_path) -> None:
    video = make_video('--a "b",\nü.mp4', frames=60)
    (tmp_path / "names.txt").write_text('one, "two"\nb\nc\nd\ne\nf\n')
    target = tmp_path / "new" / "found.csv"
    result = predict(ask(small_model, video, classes=str(tmp_path / "names.txt"), top=6, csv=target))
    text = target.read_bytes().decode()
    assert text == dump_csv(result.videos)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == CSV_FIELDS
    assert len(rows) == 2 * 6
    assert {row["video"] for row in rows} == {str(video)}
    assert 'one, "two"' in {row["class"] for row in rows}
    assert [path.name for path in target.parent.iterdir()] == ["found.csv"]


def test_outputs_that_would_overwrite_are_refused_before_any_work(small_model, make_video, tmp_path) -> None:
    one, two = make_video("a/x.mp4", frames=4), make_video("b/x.mp4", frames=4)
    before = one.read_bytes()
    for more, told in (
        ({"overlay": one}, "is one file for 2 videos"),
        ({"overlay": tmp_path / "out"}, "two videos"),
        ({"csv": one}, "is an input"),
        ({"csv": tmp_path}, "is a folder"),
    ):
        with pytest.raises(UsageError, match=told):
            predict(ask(small_model, one, two, **more))
    with pytest.raises(UsageError, match="is an input"):
        predict(ask(small_model, one, overlay=one))
    with pytest.raises(InputError, match="no such video"):
        predict(ask(small_model, tmp_path / "missing.mp4"))
    assert one.read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_names_that_the_font_lacks_are_refused_before_any_work(small_model, make_video, tmp_path) -> None:
    (tmp_path / "names.txt").write_text("中\nb\nc\nd\ne\nf\n")
    request = ask(small_model, make_video(), classes=str(tmp_path / "names.txt"), overlay=tmp_path / "o.mp4")
    with pytest.raises(InputError, match="--font"):
        predict(request)
    assert not (tmp_path / "o.mp4").exists()


def test_lists_of_several_classes_are_taken_for_networks_of_several(make_video, tmp_path) -> None:
    make_video("a.mp4", frames=4)
    make_video("b.mp4", frames=4)
    (tmp_path / "list.txt").write_text("a.mp4 3,17\nb.mp4 4\n")
    found = find_sources([str(tmp_path / "list.txt")], None, None, several=True)
    assert [(source.name, source.truth) for source in found] == [("a.mp4", None), ("b.mp4", 4)]
    with pytest.raises(InputError, match=r"list\.txt:1"):
        find_sources([str(tmp_path / "list.txt")], None, None)


def test_probabilities_are_those_of_the_classifier(make_video, monkeypatch, small_model) -> None:
    video = make_video(frames=40)
    loaded = load_model(str(small_model))
    loaded.classifier.several = True
    monkeypatch.setattr(module, "load_model", lambda *_, **__: loaded)
    (found,) = predict(ask(small_model, video, top=6)).videos
    monkeypatch.undo()
    (single,) = predict(ask(small_model, video, top=6)).videos
    assert sum(guess.probability for guess in single.top) == pytest.approx(1, abs=1e-5)
    ours = {guess.label: guess.probability for guess in found.top}
    assert sum(ours.values()) > 1.5
    logits = {label: math.log(share / (1 - share)) for label, share in ours.items()}
    total = sum(math.exp(value) for value in logits.values())
    for guess in single.top:
        assert guess.probability == pytest.approx(math.exp(logits[guess.label]) / total, abs=1e-4)
