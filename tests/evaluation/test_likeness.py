"""The check of the side image after decoding."""

import pytest
import torch
import torch.nn.functional as F

import ndic_core as ndic
from ndic_core.data.street import Street
from ndic_core.evaluation.likeness import seems_unrelated


@pytest.fixture(scope="module")
def streets():
    return [Street().pair(5000 + i) for i in range(3)]


@pytest.fixture(scope="module")
def decoded(streets):
    """An image as a file of few bytes holds it: without detail."""
    return F.avg_pool2d(streets[0].x[None], 7, 1, padding=3, count_include_pad=False)[0]


@pytest.mark.parametrize("name", ["ndic_bls17", "parallax_attention"])
def test_shipped_weights_and_streets(name, streets):
    """No matching y is reported; most others are."""
    model = ndic.load_pretrained(name)
    files = [ndic.encode(model, street.x) for street in streets]
    rows = [[seems_unrelated(ndic.decode(model, file, other.y), other.y) for other in streets] for file in files]
    found = torch.tensor(rows)
    assert not found.diagonal().any()
    assert found.sum() >= 4  # of 6


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y,
        lambda y: y * 0.3,
        lambda y: (y + 0.3).clamp(max=1),
        lambda y: y.roll(1, 1),
        lambda y: (y + 0.05 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1),
        lambda y: torch.full_like(y, 0.5),
    ],
    ids=["same", "darker", "brighter", "a row lower", "noisy", "grey"],
)
def test_a_matching_y_is_not_reported(change, streets, decoded):
    if change(streets[0].y).std() > 0:
        assert not seems_unrelated(decoded, change(streets[0].y))
        assert seems_unrelated(decoded, change(streets[2].y))


def test_a_turned_y_is_reported(streets, decoded):
    assert seems_unrelated(decoded, streets[0].y.flip(-1))
    assert seems_unrelated(decoded, streets[0].y.flip(-2, -1))


def test_symmetric_and_periodic_scenes_match_their_mirror_image_too(streets):
    half = streets[0].x[..., :128]
    symmetric = torch.cat([half, half.flip(-1)], -1)
    stripes = (torch.arange(256) % 16 < 8).float().expand(3, 128, 256)
    assert not seems_unrelated(symmetric, symmetric)
    assert not seems_unrelated(stripes, stripes.roll(3, -1))


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (300, 5), (40, 40), (7, 4000)])
def test_nothing_is_said_of_small_images(size):
    x, y = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    assert not seems_unrelated(x, y)


def test_other_arguments_are_refused(streets):
    x, y = streets[0].x, streets[0].y
    for of, side, sentence in (
        (x, y[:, :64], r"one shape; x_hat is \(3, 128, 256\), y is \(3, 64, 256\)"),
        (x.numpy(), y, "x_hat must be a float tensor .* got ndarray"),
        (x, 255 * y, "y must have values in"),
    ):
        with pytest.raises(ndic.NDICError, match=sentence):
            seems_unrelated(of, side)


def test_nothing_is_said_without_texture(streets):
    flat = torch.full_like(streets[0].x, 0.5)
    assert not seems_unrelated(flat, streets[0].y)
    assert not seems_unrelated(flat, flat)


def test_large_and_tall_images(streets):
    x, y, other = (
        F.interpolate(image[None], scale_factor=4)[0] for image in (streets[0].x, streets[0].y, streets[2].y)
    )
    assert not seems_unrelated(x, y)
    assert seems_unrelated(x, other)
    assert not seems_unrelated(x[..., :256], y[..., :256])
