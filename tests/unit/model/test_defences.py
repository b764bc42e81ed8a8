"""Defences one by one and composed: what they do to clips, to gradients and to a classifier."""

import copy
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vidbench.data.dataset import ClipItem, ClipList
from vidbench.errors import UsageError
from vidbench.model.card import Preprocess
from vidbench.model.classifier import Classifier
from vidbench.model.defence.frame_drop import FrameDrop
from vidbench.model.defence.resize_pad import ResizePad, place
from vidbench.model.defences import DEFENCES, Defended, defend, describe_defences
from vidbench.model.layout import fast_layout
from vidbench.model.protocol import RULES, Protocol, Views
from vidbench.model.reading import Reader
from vidbench.model.resolve import LoadedModel
from vidbench.model.scoring import compiled_network
from vidbench.model.shards import LARGE
from vidbench.model.summary import summarise
from vidbench.model.zoo import MODELS
from vidbench.records import Records

SIZE = Preprocess(4, 1, 16, 16, 16, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
USUAL = ("gcm", "resize-pad", "jpeg", "h264", "bits", "smooth-time", "smooth-space", "drop")
EXACT = ("gcm", "jpeg:60", "h264:30", "bits:3", "smooth-time:3", "smooth-time:3:median", "smooth-space:3",
         "smooth-space:5:gaussian")  # fmt: skip
DRAWN = ("resize-pad:12", "drop:0.5")


def classifier(net: nn.Module) -> Classifier:
    return Classifier(copy.deepcopy(net), SIZE, 5, ("a", "b", "c", "d", "e")).eval()


@pytest.fixture
def behind(net: nn.Module) -> Classifier:
    return classifier(net)


def clips(count: int = 2, frames: int = 4, height: int = 16, width: int = 16, seed: int = 0) -> Tensor:
    """Smooth moving colours with a little noise, in [0, 1], multiples of 1/255."""
    generator = torch.Generator().manual_seed(seed)
    t, y, x = torch.meshgrid(*(torch.arange(length).float() for length in (frames, height, width)), indexing="ij")
    phase = torch.rand(count, 3, 1, 1, 1, generator=generator) * 6
    waves = 0.5 + 0.4 * torch.sin(x / 3 + y / 5 + t / 2 + phase)
    noise = 0.03 * torch.randn(count, 3, frames, height, width, generator=generator)
    return ((waves + noise).clamp(0, 1) * 255).round() / 255


def only(behind: Classifier, text: str) -> nn.Module:
    return defend(behind, text).defences[0]


def test_all_of_the_catalogue_are_described_and_built(behind: Classifier) -> None:
    rows = describe_defences()
    assert tuple(row["name"] for row in rows) == DEFENCES.names() == USUAL
    for row in rows:
        built = only(behind, str(row["name"]))
        assert (built.differentiable, built.random) == (row["differentiable"], row["random"])
        assert row["summary"]
        assert row["source"]
        # the text with what went without saying gives the same again
        assert only(behind, built.text).text == built.text
        assert f":{built.text.partition(':')[2]}".rstrip(":").split(":")[-1] in str(row["setting"])


def test_listing_imports_no_torch() -> None:
    code = "import sys; from vidbench.model.defence_names import describe_defences; describe_defences(); "
    done = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gmc", "Did you mean gcm"), ("", "There are: gcm, resize-pad"), ("gcm,,bits", "There are: gcm"),
        ("jpeg:0", "from 1 to 100"), ("jpeg:101", "from 1 to 100"), ("jpeg:x", "from 1 to 100"),
        ("jpeg:", "QUALITY"), ("jpeg:75:2", "[:QUALITY]"), ("h264:52", "from 0 to 51"), ("h264:-1", "from 0 to 51"),
        ("bits:9", "from 1 to 8"), ("bits:0", "from 1 to 8"), ("smooth-time:4", "odd"), ("smooth-time:1", "odd"),
        ("smooth-time:3:gaussian", "neither mean nor median"), ("smooth-space:3:mean", "neither median nor gaussian"),
        ("drop:0", "above 0"), ("drop:1", "above 0"), ("drop:nan", "above 0"), ("gcm:0", "above 0"),
        ("gcm:1e20:1:2", "[:W[:EPSILON]]"), ("resize-pad:16", "at most 15"), ("resize-pad:0", "from 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_text_is_told(behind: Classifier, text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        defend(behind, text)
    assert told in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 4, 16, 16), (1, 1, 16, 16), (2, 5, 15, 13), (3, 3, 17, 22)])
@pytest.mark.parametrize("text", [*EXACT, *DRAWN])
def test_shape_range_and_input_are_kept(behind: Classifier, text: str, shape: tuple[int, ...]) -> None:
    given = clips(*shape)
    before = given.clone()
    out = only(behind, text)(given)
    assert out.shape == given.shape
    assert out.dtype == torch.float32
    assert 0 <= float(out.min()) <= float(out.max()) <= 1 + 1e-6
    assert torch.equal(given, before)
    if text != "gcm" and shape[1] > 1:
        assert not torch.equal(out, given)


@pytest.mark.parametrize("text", EXACT)
def test_exact_ones_give_each_clip_the_same_every_time_and_in_every_batch(behind: Classifier, text: str) -> None:
    given, layer = clips(3), only(behind, text)
    whole = layer(given)
    assert torch.equal(whole, layer(given))
    assert torch.equal(whole[1:2], layer(given[1:2]))


@pytest.mark.parametrize("text", DRAWN)
def test_random_ones_draw_for_each_row_and_follow_the_seed(behind: Classifier, text: str) -> None:
    layer, same = only(behind, text), clips(1).expand(8, -1, -1, -1, -1)
    torch.manual_seed(3)
    first = layer(same)
    torch.manual_seed(3)
    assert torch.equal(first, layer(same))
    assert not torch.equal(first, layer(same))
    different = {tuple(row.flatten().tolist()) for row in first}
    assert len(different) >= 3


@pytest.mark.parametrize("text", [*EXACT, *DRAWN])
def test_the_identity_backward_is_the_identity_and_keeps_the_forward(behind: Classifier, text: str) -> None:
    given = clips(2)
    plain, passed = defend(behind, text), defend(behind, text).identity_backward()
    assert passed.defences[0].adaptive
    assert plain.defences[0].adaptive == (not plain.defences[0].differentiable)
    torch.manual_seed(0)
    wanted = plain.defences[0](given)
    torch.manual_seed(0)
    point = given.clone().requires_grad_(True)
    out = passed.defences[0](point)
    assert torch.equal(out, wanted)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((out * weights).sum(), point)
    assert torch.equal(gradient, weights)


@pytest.mark.parametrize("text", ["resize-pad:12", "smooth-time:3", "smooth-time:3:median", "smooth-space:3",
                                  "smooth-space:3:gaussian", "drop:0.5"])  # fmt: skip
def test_derivatives_are_those_of_finite_differences(behind: Classifier, text: str) -> None:
    layer = only(behind, text)
    generator = torch.Generator().manual_seed(5)
    # distinct values: a median has a kink where two are equal
    given = torch.rand(1, 3, 4, 16, 16, generator=generator, dtype=torch.float64)
    way, weights = (torch.randn(given.shape, generator=generator, dtype=torch.float64) for _ in range(2))

    def value(point: Tensor) -> Tensor:
        torch.manual_seed(0)
        return (layer(point) * weights).sum()

    point = given.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(point), point)
    step = 1e-7
    difference = float(value(given + step * way) - value(given - step * way)) / (2 * step)
    assert float((gradient * way).sum()) == pytest.approx(difference, rel=1e-5)


def test_first_named_comes_first(behind: Classifier) -> None:
    given = clips(2)
    one, other = defend(behind, "bits:2,smooth-space:3"), defend(behind, "smooth-space:3, bits:2")
    assert one.text == "bits:2,smooth-space:3:median"
    bits, smooth = one.defences
    assert torch.equal(one(given), behind(smooth(bits(given))))
    assert torch.equal(other(given), behind(bits(smooth(given))))
    # an average of four levels lies between them unless the levels come last
    mean = defend(behind, "bits:2,smooth-space:3:gaussian").defences
    assert len(mean[0](mean[1](given)).unique()) == 4
    assert len(mean[1](mean[0](given)).unique()) > 4


def test_a_defended_classifier_is_a_classifier(behind: Classifier) -> None:
    defended = defend(behind, "bits:4,gcm")
    given = clips(3)
    assert isinstance(defended, Classifier)
    assert (defended.preprocess, defended.num_classes, defended.classes, defended.several) == (
        behind.preprocess, 5, ("a", "b", "c", "d", "e"), False,
    )  # fmt: skip
    assert torch.equal(defended.mean, behind.mean)
    assert defended.device == behind.device
    assert defended.net is behind.net
    assert defended.undefended is behind
    assert not defended.training
    assert torch.equal(defended.logits(given), defended(given))
    assert torch.equal(defended.probabilities(defended(given)).sum(1).round(decimals=5), torch.ones(3))
    assert not defended.random
    assert defend(behind, "bits:4,drop").random
    twice = copy.deepcopy(defended)
    assert torch.equal(twice(given), defended(given))
    assert twice.inner is not behind
    assert list(defended.state_dict()) == [f"inner.{name}" for name in behind.state_dict()]
    with pytest.raises(ValueError, match="expected"):
        defended(given[:, :2])


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_the_network_behind_defences_is_compiled(behind: Classifier) -> None:
    defended, given = defend(behind, "jpeg:60,drop:0.5"), clips(2)
    with torch.inference_mode():
        torch.manual_seed(0)
        wanted = defended(given)
        torch.manual_seed(0)
        assert torch.allclose(compiled_network(defended)(given), wanted, atol=1e-4)


@pytest.mark.parametrize("text", ["gcm", "jpeg,bits:4", "smooth-time:3"])
def test_the_fast_layout_keeps_defences_and_their_gradients(behind: Classifier, text: str) -> None:
    given = clips(2)
    for defended in (defend(behind, text), defend(behind, text).identity_backward()):
        fast = fast_layout(defended)
        assert isinstance(fast, Defended)
        assert [layer.adaptive for layer in fast.defences] == [layer.adaptive for layer in defended.defences]
        assert torch.allclose(fast(given), defended(given), atol=1e-4)
        if text == "gcm" and not fast.defences[0].adaptive:
            continue
        found = [torch.autograd.grad(one(point).sum(), point)[0] for one in (fast, defended)
                 for point in [given.clone().requires_grad_(True)]]  # fmt: skip
        assert torch.allclose(*found, atol=1e-4)


def test_concealment_is_the_identity_but_for_its_gradient(behind: Classifier) -> None:
    given = clips(2)
    layer = only(behind, "gcm")
    assert float((layer(given) - given).abs().max()) <= 1.5e-8
    point = given.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(layer(point).sum(), point)
    assert float(gradient.abs().median()) > 1e10
    assert 0.4 < float((gradient > 0).double().mean()) < 0.6
    milder = only(behind, "gcm:10:0.01")
    assert torch.allclose(milder(given), given + 0.01 * torch.sin(10 * given))


def test_resize_and_pad_has_the_91_outcomes_of_218_in_224() -> None:
    layer = ResizePad(218)
    outcomes = layer.outcomes(224, 224)
    assert len(outcomes) == len(set(outcomes)) == 36 + 25 + 16 + 9 + 4 + 1 == 91
    torch.manual_seed(0)
    drawn = [layer.draw(224, 224) for _ in range(4000)]
    assert set(drawn) == set(outcomes)
    # sizes are equally likely: about 667 each
    counts = [sum(one.height == size for one in drawn) for size in range(218, 224)]
    assert min(counts) > 560
    assert max(counts) < 780


def test_resize_and_pad_shrinks_all_frames_of_a_clip_alike_and_pads_black() -> None:
    layer, given = ResizePad(12), clips(1)[0].clamp_min(0.1)
    outcomes = layer.outcomes(16, 16)
    assert len(outcomes) == 16 + 9 + 4 + 1
    for high, wide, top, left in outcomes:
        out = place(given, layer.outcomes(16, 16)[0]._replace(height=high, width=wide, top=top, left=left))
        wanted = torch.zeros_like(given)
        rows = [math.floor(row * 16 / high) for row in range(high)]
        columns = [math.floor(column * 16 / wide) for column in range(wide)]
        wanted[..., top : top + high, left : left + wide] = given[:, :, rows][..., columns]
        assert torch.equal(out, wanted)
        assert not out[..., -1, :].any()
        assert not out[..., -1].any()


def test_resize_and_pad_keeps_the_shape_of_frames_and_has_a_size_of_its_own() -> None:
    for one in ResizePad(20).outcomes(24, 48):
        assert one.width == 2 * one.height
    assert {one.height for one in ResizePad().outcomes(224, 224)} == set(range(218, 224))
    assert {one.height for one in ResizePad().outcomes(16, 16)} == {15}
    with pytest.raises(ValueError, match="no size"):
        ResizePad(20).draw(16, 16)


@pytest.mark.parametrize(
    ("coarse", "fine"),
    [("jpeg:10", "jpeg:50"), ("jpeg:50", "jpeg:95"), ("h264:45", "h264:30"), ("h264:30", "h264:10"),
     ("bits:2", "bits:4"), ("bits:4", "bits:7")],
)  # fmt: skip
def test_better_quality_is_nearer_to_the_clip(behind: Classifier, coarse: str, fine: str) -> None:
    given = clips(2, 6, 48, 64)
    errors = [float((only(behind, text)(given) - given).square().mean()) for text in (coarse, fine)]
    assert errors[0] > 1.2 * errors[1] > 0


def test_fewer_bits_are_fewer_levels(behind: Classifier) -> None:
    given = torch.linspace(0, 1, 3 * 4 * 16 * 16).view(1, 3, 4, 16, 16)
    for bits in (1, 3, 5):
        out = only(behind, f"bits:{bits}")(given)
        assert len(out.unique()) == 2**bits
        assert float((out - given).abs().max()) <= 0.5 / (2**bits - 1) + 1e-6
    bytes_ = clips(1)
    assert torch.allclose(only(behind, "bits:8")(bytes_), bytes_, atol=1e-7)


def test_windows_over_time_repeat_the_ends(behind: Classifier) -> None:
    given = clips(1)
    mean, median = only(behind, "smooth-time:3"), only(behind, "smooth-time:3:median")
    frames = given[0].unbind(1)
    wanted = [(frames[max(at - 1, 0)] + frames[at] + frames[min(at + 1, 3)]) / 3 for at in range(4)]
    assert torch.allclose(mean(given)[0], torch.stack(wanted, 1), atol=1e-6)
    # a flash of one frame is gone
    steady = given[:, :, :1].expand(-1, -1, 5, -1, -1).clone()
    flash = steady.clone()
    flash[:, :, 2] = 1 - flash[:, :, 2]
    assert torch.equal(median(flash), steady)
    assert torch.allclose(mean(given[:, :, :1]), given[:, :, :1], atol=1e-6)


def test_windows_over_space(behind: Classifier) -> None:
    grey = torch.full((1, 3, 2, 9, 9), 0.5)
    speck = grey.clone()
    speck[0, 1, 1, 4, 4] = 1.0
    assert torch.equal(only(behind, "smooth-space:3")(speck), grey)
    blurred = only(behind, "smooth-space:5:gaussian")(speck)
    assert float(blurred.sum()) == pytest.approx(float(speck.sum()), rel=1e-6)
    assert torch.allclose(blurred[0, 0], grey[0, 0])
    spot = blurred[0, 1, 1] - 0.5
    assert torch.allclose(spot, spot.T)
    # a standard deviation of one pixel
    assert float(spot[4, 5] / spot[4, 4]) == pytest.approx(math.exp(-0.5), rel=1e-4)
    given = clips(1, 1, 8, 8)
    edge = functional.pad(given[:, :, 0], (1, 1, 1, 1), mode="replicate")
    corner = edge[0, :, :3, :3].flatten(1).median(1).values
    assert torch.equal(only(behind, "smooth-space:3")(given)[0, :, 0, 0, 0], corner)


@pytest.mark.parametrize(
    ("share", "count", "dropped"), [(0.25, 8, 2), (0.5, 5, 3), (0.9, 4, 3), (0.1, 4, 0), (0.5, 1, 0)]
)
def test_dropped_frames_show_the_kept_one_before(share: float, count: int, dropped: int) -> None:
    torch.manual_seed(0)
    layer, given = FrameDrop(share), clips(6, count)
    starts = set()
    for _ in range(4):
        shown = layer.draw(count)
        kept = sorted(set(shown.tolist()))
        assert kept[0] == 0
        assert count - len(kept) == dropped
        assert all(int(shown[at]) == max(one for one in kept if one <= at) for at in range(count))
        starts.add(tuple(kept))
    assert dropped in (0, count - 1) or len(starts) > 1
    torch.manual_seed(1)
    out = layer(given)
    torch.manual_seed(1)
    for row, clip in zip(out, given, strict=True):
        assert torch.equal(row, clip[:, layer.draw(count)])


def test_a_figure_behind_a_defence_is_not_held_against_the_published_one(tmp_path: Path) -> None:
    card = MODELS.get("x3d_s")
    network = Classifier(nn.Linear(3, 400), card.preprocess, 400)
    reader = Reader("pyav", card.preprocess, Protocol(RULES["pyslowfast"], Views(10, 3)))
    item = ClipItem("0.mp4", Path("/0.mp4"), 7, 1, "0" * 16, labels=(7,))
    listed = ClipList(Path("list.txt"), Path("/"), "--root", (item,), "", 1)
    store = Records(tmp_path / "clips.jsonl", LARGE)
    scores = [0.0] * 7 + [1.0] + [0.0] * 392
    facts = {"label": 7, "status": "ok", "pred": 7, "rank": 0, "scores": scores, "frames": 30, "fps": "30"}
    store.append({"key": item.key, "path": item.name, **facts})
    for classifier, text in ((network, None), (defend(network, "gcm,bits:6"), "gcm,bits:6")):
        model = LoadedModel(classifier, "x3d_s", "x3d_s", "pretrained", "0" * 64, card)
        found = summarise(listed, store, model, reader, "fp32")
        assert found["defence"] == text
        assert found["top1"] == 1
        assert (found["verdict"]["published"] is None) == (text is not None)
