"""Bits saved at equal quality, from files that are written once."""

import math

import pytest
import torch
from conftest import lively

import ndic_core as ndic
from ndic_core.errors import NDICError
from ndic_core.evaluation.rate_savings import Curve, decode_all, rate_savings, send_at_levels
from ndic_core.metrics import ms_ssim, ms_ssim_db


def line(bpp, quality):
    return Curve(torch.tensor(bpp), torch.tensor(quality))


@pytest.mark.parametrize("name", ["bmshj18_factorized", "ndic_bls17", "parallax_attention"])
def test_what_is_measured_is_what_files_decode_to(name, pair):
    model = lively(name, num_filters=4, image_size=(128, 256), lmbda=(1e-3, 1e-2))
    x, y = (view[None] for view in pair)
    sent = send_at_levels(model, x, (10, 200))
    curve = decode_all(model, x, sent, y if model.info.side_info else None)
    for i, level in enumerate((10, 200)):
        stream = ndic.encode(model, x[0], model.lmbda_at(level))
        assert curve.bpp[i, 0].item() == pytest.approx(8 * len(stream) / (128 * 256))
        decoded = ndic.decode(model, stream, y[0])[None]
        assert curve.ms_ssim_db[i, 0].item() == pytest.approx(ms_ssim_db(ms_ssim(x, decoded)).item(), abs=1e-3)


def test_the_share_is_read_off_at_equal_quality():
    anchor = line([[0.25, 0.25]], [[11.0, 12.0]])
    test = line([[0.1, 0.1], [0.4, 0.4]], [[10.0, 10.0], [12.0, 12.0]])
    half_way, at_the_end = rate_savings(anchor, test).tolist()
    assert half_way == pytest.approx(1 - math.sqrt(0.1 * 0.4) / 0.25)  # the mean of logarithms
    assert at_the_end == pytest.approx(1 - 0.4 / 0.25)


def test_the_order_of_levels_does_not_matter():
    anchor, bpp, quality = line([[0.2]], [[11.3]]), [[0.1], [0.2], [0.4]], [[10.0], [11.0], [12.0]]
    assert torch.equal(rate_savings(anchor, line(bpp, quality)), rate_savings(anchor, line(bpp[::-1], quality[::-1])))


def test_what_is_not_reached_is_no_number():
    test = line([[0.1, 0.1], [0.4, 0.4]], [[10.0, 10.0], [12.0, 12.0]])
    assert rate_savings(line([[0.2, 0.2]], [[9.9, 12.1]]), test).isnan().all()


@pytest.mark.parametrize(
    ("qualities", "target", "rate"),
    [
        ([11.0, 11.0, 13.0], 11.0, 0.1),  # tied: the cheaper one
        ([11.0, 12.0, 11.4], 11.5, math.sqrt(0.1 * 0.2)),  # the third costs most and is beaten by the second
    ],
)
def test_levels_that_another_beats_are_left_out(qualities, target, rate):
    test = line([[0.1], [0.2], [0.4]], [[quality] for quality in qualities])
    assert rate_savings(line([[0.2]], [[target]]), test).item() == pytest.approx(1 - rate / 0.2, abs=1e-6)


def test_weights_of_half_precision_are_measured_too(pair):
    model = lively("ndic_bls17", num_filters=4, lmbda=(1e-3, 1e-2)).bfloat16()
    x, y = (view[None] for view in pair)
    assert decode_all(model, x, send_at_levels(model, x, (100,)), y).ms_ssim_db.isfinite().all()


def test_files_and_pictures_that_do_not_belong_together_are_refused(pair):
    model = lively("ndic_bls17", num_filters=4, lmbda=(1e-3, 1e-2))
    x, y = (view[None] for view in pair)
    sent = send_at_levels(model, x, (100,))
    with pytest.raises(NDICError, match="needs y"):
        decode_all(model, x, sent)
    for files, pictures in (([], x), (sent, x.expand(2, -1, -1, -1))):
        with pytest.raises(NDICError, match="files of these"):
            decode_all(model, pictures, files, y.expand_as(pictures))
    for level in (1.5, -1, 256):
        with pytest.raises(NDICError, match=f"from 0 to 255, not {level}"):
            send_at_levels(model, x, (0, level))
    with pytest.raises(NDICError, match="accepts images whose sides"):
        send_at_levels(model, x[..., :100], (0,))


def test_misuse_is_told():
    two = line([[0.1], [0.4]], [[10.0], [12.0]])
    with pytest.raises(NDICError, match="one level of the anchor"):
        rate_savings(two, two)
    with pytest.raises(NDICError, match="same pictures"):
        rate_savings(line([[0.2, 0.2]], [[11.0, 11.0]]), two)
    with pytest.raises(NDICError, match="one rate"):
        send_at_levels(ndic.build_model("bls17", num_filters=4), torch.rand(1, 3, 32, 32), (0,))
