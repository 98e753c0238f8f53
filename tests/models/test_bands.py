"""Large images in bands of rows: the same values as of the whole image, from no more rows than they depend on."""

import pytest
import torch
from conftest import lively
from torch import nn

import ndic_core as ndic
from ndic_core.models import bands, matching, parallax_bands
from ndic_core.models.bands import Rows, rows_of
from ndic_core.models.transforms import analysis_3, analysis_4, conv, sequence, synthesis_3, synthesis_4

VARIABLE = [name for name in ndic.MODELS if name != "cross_attention"]
PARALLAX = [{}, dict(search_rows=5), dict(robust=True)]


@pytest.fixture
def small_bands(monkeypatch):
    """Bands of 48 rows of the images below."""
    monkeypatch.setattr(bands, "BAND_PIXELS", 64 * 48)
    assert [rows.stop for rows in bands.bands(160, 64)] == [48, 96, 144, 160]


def smooth_pair(seed=0):
    """Images of 160 × 64; y is x moved along the row."""
    coarse = torch.rand(1, 3, 20, 9, generator=torch.Generator().manual_seed(seed))
    x = nn.functional.interpolate(coarse, (160, 72), mode="bilinear")
    return x[..., :64], x[..., 6:70]


def aligning(options):
    """A parallax-attention model whose alignment and retouch have an effect."""
    model = lively("parallax_attention", **options)
    with torch.no_grad():
        for parameter in [*model.cams.parameters(), *model.retouch.parameters()]:
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize(
    ("layers", "size"),
    [
        (analysis_3(4), (3, 160)),
        (analysis_4(4), (3, 160)),
        (synthesis_3(4), (4, 10)),
        (synthesis_4(4, 4), (4, 10)),
        (sequence(conv1=conv(2, 3, 5, 2), relu=nn.ReLU(), conv2=conv(3, 2, 3, 2), conv3=conv(2, 2, 1, 1)), (2, 21)),
    ],
)
def test_rows_are_those_of_the_whole(layers, size):
    channels, height = size
    features = torch.randn(2, channels, height, 32 if channels == 3 else 4)
    with torch.no_grad():
        whole = layers(features)
        for rows in (Rows(0, 1), Rows(2, 5), Rows(whole.shape[2] - 3, whole.shape[2]), Rows(0, whole.shape[2])):
            assert torch.allclose(rows_of(layers, features, rows), rows.of(whole), atol=1e-5)


@pytest.mark.parametrize("name", VARIABLE)
def test_bands_make_the_same_file_and_image(name, small_bands, monkeypatch):
    model, (x, y) = lively(name), smooth_pair()
    stream = ndic.encode(model, x[0])
    x_hat = ndic.decode(model, stream, y[0])
    with monkeypatch.context() as whole:
        whole.setattr(bands, "BAND_PIXELS", 2**20)
        assert ndic.encode(model, x[0]) == stream
        assert torch.allclose(ndic.decode(model, stream, y[0]), x_hat, atol=1e-5)
        with torch.no_grad():
            latent = model.analyse(x)
    with torch.no_grad():
        assert torch.allclose(model.analyse(x), latent, atol=1e-5)


@pytest.mark.parametrize("options", PARALLAX, ids=str)
@pytest.mark.parametrize("right", [None, True, torch.tensor([False, True])], ids=str)
def test_alignment_in_bands(options, right, small_bands, monkeypatch):
    """For both cameras, with matches in other rows, without y, and several images."""
    model, images = aligning(options), [smooth_pair(seed) for seed in (0, 1)]
    x, y = (torch.cat(parts) for parts in zip(*images, strict=True))
    with torch.no_grad():
        h = model.analyse(x).round()
        sides = [y, None] if model.y_optional else [y]
        found = [model.reconstruct(h, side, right=right) for side in sides]
        monkeypatch.setattr(bands, "BAND_PIXELS", 2**20)
        for banded, side in zip(found, sides, strict=True):
            whole = model.reconstruct(h, side, right=right)
            assert torch.allclose(banded, whole, atol=1e-4 * float(whole.abs().max()))


@pytest.mark.parametrize("part", range(4))
def test_no_margin_can_be_smaller(part, small_bands, monkeypatch):
    model, (x, y) = aligning(dict()), smooth_pair()
    margins = parallax_bands.margins(model)
    with torch.no_grad():
        h = model.analyse(x).round()
        right = model.reconstruct(h, y)
        margins[part] = 0
        monkeypatch.setattr(parallax_bands, "margins", lambda _: margins)
        assert not torch.allclose(model.reconstruct(h, y), right, atol=1e-3)


def test_gradients_pass_through_bands(small_bands):
    model, (x, y) = lively("ndic_bls17").train(), smooth_pair()
    model(x, y, side=False)["x_hat"].square().mean().backward()
    assert model.analysis_x.conv1.weight.grad.abs().sum() > 0


def test_attention_maps_cover_the_whole_image(small_bands):
    maps = lively("parallax_attention").attention_maps(*smooth_pair())
    assert [layer.shape[2] for layer in maps] == [20, 40, 80]


@pytest.mark.parametrize("columns", [4, 5, 10, 11])
def test_a_single_cost_volume_in_halves(columns):
    layers = matching._convolutions(nn.Conv3d(4, 8, 3, padding=1), nn.Conv3d(8, 1, 3, padding=1))
    for parameter in layers.parameters():
        nn.init.normal_(parameter)
    volume = torch.randn(2, 4, columns, 6, 10)
    with torch.no_grad():
        whole = matching._refined(layers, volume, 1)  # a batch is computed as it is
        assert torch.allclose(matching._refined(layers, volume[:1], 1), whole[:1], atol=1e-4)
        assert torch.allclose(matching._refined(layers, volume[1:], 1), whole[1:], atol=1e-4)
