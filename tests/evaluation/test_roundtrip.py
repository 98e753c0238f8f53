"""What is sent is measured on real bytes, and models meet at equal bytes or equal quality."""

import pytest
import torch
from conftest import lively

import ndic_core as ndic
from ndic_core.errors import NDICError
from ndic_core.evaluation.roundtrip import roundtrip, roundtrip_at, table
from ndic_core.metrics import ms_ssim, ms_ssim_db, psnr
from ndic_core.models.coding.state import LEVELS


@pytest.fixture(scope="module")
def model():
    return ndic.load_pretrained("ndic_bls17")


def test_every_number_is_of_the_file_and_its_picture(model, pair):
    x, y = pair
    lmbda = model.lmbda_at(99)
    stream = ndic.encode(model, x, lmbda)
    x_hat = ndic.decode(model, stream, y)
    sent = roundtrip(model, x, y, lmbda)
    assert torch.equal(sent.pop("x_hat"), x_hat)
    similarity = ms_ssim(x[None], x_hat[None])
    assert sent == dict(
        model="ndic_bls17",
        lmbda=lmbda,
        bytes=len(stream),
        bpp=8 * len(stream) / (128 * 256),
        psnr=psnr(x[None], x_hat[None]).item(),
        ms_ssim=similarity.item(),
        ms_ssim_db=ms_ssim_db(similarity).item(),
    )


def test_the_lambda_is_the_one_of_the_file(model, pair):
    between = (model.lmbda_at(99) * model.lmbda_at(100) ** 2) ** (1 / 3)
    assert roundtrip(model, *pair, between)["lmbda"] == model.lmbda_at(100)
    assert roundtrip(model, *pair)["lmbda"] == model.lmbda_at(model.level(None))


def test_without_side_information_no_y_is_needed(pair):
    small = lively("bls17")
    x, y = pair
    without, with_y = roundtrip(small, x), roundtrip(small, x, y)
    assert torch.equal(without.pop("x_hat"), with_y.pop("x_hat"))
    assert without == with_y


@pytest.mark.parametrize("key", ["bytes", "bpp", "psnr", "ms_ssim_db"])
def test_no_other_level_is_nearer(model, pair, key):
    low, high = (roundtrip(model, *pair, lmbda)[key] for lmbda in model.lambdas)
    target = 0.6 * low + 0.4 * high
    found = roundtrip_at(model, *pair, key, target)
    level = model.level(found["lmbda"])
    assert 0 < level < LEVELS
    for near in (level - 1, level + 1):
        neighbour = roundtrip(model, *pair, model.lmbda_at(near))
        assert abs(found[key] - target) <= abs(neighbour[key] - target)


@pytest.mark.parametrize("end", [0, 1])
def test_the_ends_can_be_reached_and_nothing_beyond(model, pair, end):
    value = roundtrip(model, *pair, model.lambdas[end])["bytes"]
    assert roundtrip_at(model, *pair, "bytes", value)["bytes"] == value
    with pytest.raises(NDICError, match=r"ndic_bls17 sends this picture with bytes from \d+ to \d+, not"):
        roundtrip_at(model, *pair, "bytes", value + (2 * end - 1))


def test_what_cannot_be_searched_for_is_refused(model, pair):
    with pytest.raises(NDICError, match="not 'lmbda'"):
        roundtrip_at(model, *pair, "lmbda", 1e-5)
    small = lively("bls17", lmbda=(1e-5, 1e-3))
    with pytest.raises(NDICError, match="above 96 pixels, not 64 × 128"):
        roundtrip_at(small, torch.rand(3, 64, 128), None, "ms_ssim_db", 5.0)
    with pytest.raises(NDICError, match="weights of bls17 have one rate"):
        roundtrip_at(lively("bls17"), *pair, "bytes", 500)


ROWS = [
    dict(model="bls17", y="its own", lmbda=2e-5, bytes=812, bpp=0.19825, psnr=24.504, ms_ssim_db=9.0, x_hat=None),
    dict(model="cross_attention", y="none", lmbda=1e-4, bytes=99, bpp=0.02417, psnr=7.0, ms_ssim_db=12.345, x_hat=None),
]


def test_columns_are_aligned():
    assert table(ROWS).splitlines() == [
        "model            decoded with    lambda  bytes  bpp measured  PSNR dB  MS-SSIM dB",
        "bls17            its own       2.00e-05    812         0.198    24.50        9.00",
        "cross_attention  none          1.00e-04     99         0.024     7.00       12.35",
    ]


def test_columns_can_be_chosen():
    assert table(ROWS, "bytes", "y").splitlines() == ["bytes  decoded with", "  812  its own", "   99  none"]


@pytest.mark.parametrize(("rows", "keys"), [([], ()), (ROWS, ("colour",)), (ROWS, ("ms_ssim",)), (ROWS, ("x_hat",))])
def test_what_is_not_there_is_not_printed(rows, keys):
    with pytest.raises(NDICError, match=r"no row|no column"):
        table(rows, *keys)
