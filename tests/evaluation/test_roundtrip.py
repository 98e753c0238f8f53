"""Round trips: rows are measured on the file and its decoded image; searches find the nearest rate level."""

import pytest
import torch
from conftest import lively

import ndic_core as ndic
from ndic_core.errors import NDICError
from ndic_core.evaluation.roundtrip import roundtrip, roundtrip_at, roundtrips
from ndic_core.metrics import ms_ssim, ms_ssim_db, psnr
from ndic_core.models.coding.state import LEVELS


@pytest.fixture(scope="module")
def model():
    return ndic.load_pretrained("ndic_bls17")


def test_a_row_is_measured_on_the_file_and_its_decodings(model, pair):
    x, y = pair
    lmbda = model.lmbda_at(99)
    stream = ndic.encode(model, x, lmbda)
    ys = {"matching_y": y, "x itself": x}
    with torch.no_grad():
        estimate = -model(x[None], y[None], lmbda=lmbda)["likelihoods"]["x"].log2().sum().item() / (128 * 256)
    for (name, side), row in zip(ys.items(), roundtrips(model, x, ys, lmbda), strict=True):
        x_hat = ndic.decode(model, stream, side)
        assert torch.equal(row.pop("x_hat"), x_hat)
        assert row.pop("encode_seconds") > 0 < row.pop("decode_seconds")
        assert row.pop("bpp_estimated") == pytest.approx(estimate, rel=1e-5)
        similarity = ms_ssim(x[None], x_hat[None])
        assert row == dict(
            model="ndic_bls17",
            lmbda=lmbda,
            side_info=name,
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
    assert torch.equal(roundtrip(lively("bls17"), pair[0])["x_hat"], roundtrip(lively("bls17"), *pair)["x_hat"])


@pytest.mark.parametrize("key", ["bpp", "ms_ssim_db"])
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
    with pytest.raises(NDICError, match=r"ndic_bls17 codes this image with bytes from \d+ to \d+, not"):
        roundtrip_at(model, *pair, "bytes", value + (2 * end - 1))


def test_what_cannot_be_searched_for_is_refused(model, pair):
    with pytest.raises(NDICError, match="not 'lmbda'"):
        roundtrip_at(model, *pair, "lmbda", 1e-5)
    small = lively("bls17", lmbda=(1e-5, 1e-3))
    with pytest.raises(NDICError, match="above 96 pixels, not 64 × 128"):
        roundtrip_at(small, torch.rand(3, 64, 128), None, "ms_ssim_db", 5.0)
    with pytest.raises(NDICError, match="weights of bls17 have one rate"):
        roundtrip_at(lively("bls17"), *pair, "bytes", 500)
    with pytest.raises(NDICError, match="the target must be a number, not '500'"):
        roundtrip_at(small, pair[0], None, "bytes", "500")


@pytest.mark.parametrize("change", [lambda x: x.numpy(), lambda x: None, lambda x: x[None], lambda x: 255 * x])
def test_other_images_are_refused(change, pair):
    small = lively("bls17", lmbda=(1e-5, 1e-3))
    for measured in (roundtrip, lambda model, x: roundtrip_at(model, x, None, "ms_ssim_db", 5.0)):
        with pytest.raises(NDICError, match=r"x must (be a float tensor|have values)"):
            measured(small, change(pair[0]))
