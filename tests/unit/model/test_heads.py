"""ML-Decoder in place of linear classifying layers: sizes, places, files."""

import pytest
import torch
from torch import nn

from vidbench.errors import InputError
from vidbench.model.checkpoint import ModelInfo, save_model
from vidbench.model.heads import MlDecoder, use_ml_decoder
from vidbench.model.layout import fast_layout
from vidbench.model.resolve import build, load_model
from vidbench.model.train.start import starting
from vidbench.model.variant import Variant, apply_variant
from vidbench.model.zoo import MODELS
from vidbench.progress import SilentReporter


@pytest.mark.parametrize(("classes", "groups", "each"), [(6, 6, 1), (100, 100, 1), (400, 100, 4), (157, 100, 2)])
def test_size_and_shape(classes, groups, each) -> None:
    head = MlDecoder(40, classes)
    # embedding; attention's query, key, value and output maps; hidden layer and back; three norms; the groups
    trained = (40 * 768 + 768) + 4 * (768 * 768 + 768) + (768 * 2048 + 2048) + (2048 * 768 + 768) + 3 * 2 * 768
    trained += groups * 768 * each + classes
    assert sum(one.numel() for one in head.parameters() if one.requires_grad) == trained
    learnt = MlDecoder(40, classes, learnt=True)
    assert sum(one.numel() for one in learnt.parameters() if one.requires_grad) == trained + groups * 768
    assert head(torch.rand(2, 5, 40)).shape == (2, classes)


def test_it_is_the_decoder_of_the_paper() -> None:
    """Against torch's own decoder layer, which has a self-attention more: made to give nothing."""
    torch.manual_seed(0)
    head = MlDecoder(10, 7).eval()
    layer = nn.TransformerDecoderLayer(768, 8, 2048, dropout=0.0, batch_first=True).eval()
    layer.multihead_attn.load_state_dict(head.attention.state_dict())
    layer.linear1.load_state_dict(head.hidden.state_dict())
    layer.linear2.load_state_dict(head.back.state_dict())
    features = torch.rand(3, 4, 10)
    with torch.no_grad():
        layer.self_attn.out_proj.weight.zero_()
        layer.self_attn.out_proj.bias.zero_()
        # the first norm takes query + query, as published; a norm is indifferent to that factor
        memory = torch.relu(head.embed(features))
        answers = layer(head.queries.expand(3, -1, -1), memory)
        expected = torch.stack([(answers[:, one] @ head.weight[one])[:, 0] for one in range(7)], 1) + head.bias
        torch.testing.assert_close(head(features), expected, atol=1e-4, rtol=1e-4)
        shuffled = features[:, torch.tensor([2, 0, 3, 1])]
        torch.testing.assert_close(head(shuffled), head(features), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("x3d_tiny", (8, 64, 64)),
        ("r2plus1d_18", (4, 32, 32)),
        ("slow_r50", (4, 64, 64)),
        ("slowfast_r50", (32, 64, 64)),
        ("r2plus1d_r50", (4, 64, 64)),
    ],
)
def test_networks_take_one_before_their_pooling(model, shape) -> None:
    with torch.device("meta"):
        net = MODELS.get(model).build(5)
    apply_variant(net, Variant(classifier="ml-decoder"))
    net = net.to_empty(device="cpu").eval()
    for tensor in net.state_dict().values():
        tensor.fill_(0.01) if tensor.is_floating_point() else tensor.zero_()
    # the head has the catalogue's name, and sees several positions
    seen = []
    decoder = net.get_submodule(MODELS.get(model).head.rstrip("."))
    assert isinstance(decoder, MlDecoder)
    decoder.attention.register_forward_hook(lambda module, inputs, output: seen.append(inputs[1].shape[1]))
    with torch.no_grad():
        logits = net(torch.rand(2, 3, *shape))
    assert logits.flatten(1).shape == (2, 5)
    assert seen[0] > 1


def test_networks_that_do_not_take_one() -> None:
    with torch.device("meta"):
        net = MODELS.get("efficient_x3d_xs").build(5)
    with pytest.raises(InputError, match="ML-Decoder does not fit"):
        use_ml_decoder(net)


def test_a_stored_network_comes_back(tmp_path) -> None:
    card, names, variant = MODELS.get("x3d_tiny"), ("a", "b", "c"), Variant(classifier="ml-decoder")
    made = build(card, 3, names, 0, None, variant)
    info = ModelInfo("x3d_tiny", names, card.preprocess, "scratch", variant=variant)
    save_model(tmp_path, made.net.state_dict(), info)
    loaded = load_model(str(tmp_path)).classifier
    clips = torch.rand(2, 3, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = made.eval()(clips)
        assert torch.equal(loaded(clips), expected)
    # a start with it keeps it, unless another is asked for
    told = SilentReporter()
    same = starting(card, str(tmp_path), names, 1, False, False, told)
    assert (same.variant.classifier, same.replaced) == ("ml-decoder", ())
    with torch.no_grad():
        assert torch.equal(same.model.eval()(clips), expected)
    back = starting(card, str(tmp_path), names, 1, False, False, told, head="linear")
    assert (back.variant.classifier, back.replaced) == ("", ("blocks.5.proj.weight", "blocks.5.proj.bias"))
    other = starting(card, "scratch", names, 1, False, False, told, head="ml-decoder-learnt")
    assert other.model.net.get_submodule("blocks.5.proj").queries.requires_grad
    fast = fast_layout(loaded)
    point = clips.requires_grad_(True)
    logits = fast(point)
    torch.testing.assert_close(logits.detach(), expected, atol=1e-4, rtol=1e-4)
    logits.sum().backward()
    assert float(point.grad.abs().sum()) > 0
