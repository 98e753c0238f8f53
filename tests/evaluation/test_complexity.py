"""Complexity: MACs, parameters, time and memory are those of what is computed."""

import copy
import time

import pytest
from conftest import SIDE_INFO, same_weights

import ndic_core as ndic
from ndic_core.evaluation.complexity import PARTS, REST, count_macs, seconds
from ndic_core.plots.complexity import cost_bars


def by_part(rows, key):
    return {(row["side"], row["part"]): row[key] for row in rows}


def test_an_analysis_by_hand():
    """Four convolutions with GDN's matrix product after each of the first three."""
    n, h, w = 8, 64, 128
    rows = by_part(count_macs(ndic.build_model("bmshj18_factorized", num_filters=n), h, w), "gmac")
    macs, channels = 0, 3
    for layer in range(4):
        h, w = h // 2, w // 2
        macs += h * w * (channels * n * 5**2 + (n * n if layer < 3 else 0))
        channels = n
    assert rows["sender", "analysis of x"] == pytest.approx(macs / 1e9)
    # The synthesis is its mirror image: the same products.
    assert rows["receiver", "synthesis of x"] == pytest.approx(macs / 1e9)


def test_parameters_of_layers_that_run():
    model = ndic.build_model("cross_attention", num_filters=8, image_size=(64, 64), embed_dim=16, heads=2)
    found = by_part(count_macs(model, 64, 64), "parameters")
    size = {name: sum(p.numel() for p in module.parameters()) for name, module in model.named_modules()}
    assert found["sender", "analysis of x"] == size["analysis_x"]
    assert found["receiver", "alignment"] == size["cams"]
    # The last stage of y's own decoder draws y, which no receiver needs.
    assert found["receiver", "synthesis of y's features"] == size["synthesis_y"] - size["synthesis_y.stage4"]


@pytest.mark.parametrize("name", SIDE_INFO)
def test_side_information_costs_the_sender_nothing(name):
    plain = "bmshj18" if "bmshj18" in name else "bmshj18_factorized"
    without, within = (count_macs(ndic.build_model(n, num_filters=8), 128, 256) for n in (plain, name))
    senders = [[row | {"model": ""} for row in rows if row["side"] == "sender"] for rows in (without, within)]
    assert senders[0] == senders[1]
    receivers = [sum(row["gmac"] for row in rows if row["side"] == "receiver") for rows in (without, within)]
    assert receivers[1] > 1.9 * receivers[0]


def test_published_alignment():
    """136.9 GMAC for the three modules (benchmarks/attention.py)."""
    found = by_part(count_macs(ndic.build_model("cross_attention"), 128, 256), "gmac")
    assert found["receiver", "alignment"] == pytest.approx(136.9, abs=0.1)


@pytest.mark.parametrize(("name", "times"), [("cross_attention", 2), ("bls17", 112 * 384 / (128 * 256))])
def test_larger_images_are_tiled_or_padded(name, times):
    """100 × 380 fills two tiles of 128 × 256, or 112 × 384 pixels."""
    model = ndic.build_model(name, num_filters=4, image_size=(128, 256))
    one, more = (sum(row["gmac"] for row in count_macs(model, *size)) for size in ((128, 256), (100, 380)))
    assert more / one == pytest.approx(times)


def test_counting_leaves_the_model_alone():
    model = ndic.build_model("ndic_bmshj18", num_filters=4).train()
    before = copy.deepcopy(model)
    found = count_macs(model, 64, 64)
    assert model.training
    assert all(p.requires_grad and p.device.type == "cpu" for p in model.parameters())
    assert same_weights(before, model)
    assert count_macs(model.half(), 64, 64) == found


@pytest.mark.parametrize(
    ("size", "sentence"), [((64.0, 64), "positive whole numbers"), ((4096, 4097), "4096 × 4112 pixels; from 1 to")]
)
def test_impossible_sizes_are_refused(size, sentence):
    with pytest.raises(ndic.NDICError, match=sentence):
        count_macs(ndic.build_model("bls17", num_filters=4), *size)


@pytest.mark.parametrize("name", ["bls17", "bmshj18", "parallax_attention"])
def test_seconds_have_the_parts_of_count_macs(name, pair):
    model = ndic.build_model(name, num_filters=4).eval()
    found = by_part(seconds(model, *pair, repeat=1), "seconds")
    counted = by_part(count_macs(model, 128, 256), "gmac").keys() | {("sender", REST), ("receiver", REST)}
    # scales are computed in integers there
    assert found.keys() == {key for key in counted if key[1] != PARTS["prior_x.hyper_synthesis"]}
    assert all(value > 0 for value in found.values())
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.modules())


def test_time_is_measured_part_by_part(pair):
    model = ndic.build_model("ndic_bls17", num_filters=4).eval()
    forward, slept = model.analysis_w.conv2.forward, []

    def sleepy(x):
        start = time.perf_counter()
        time.sleep(0.05)
        slept.append(time.perf_counter() - start)
        return forward(x)

    model.analysis_w.conv2.forward = sleepy
    found = by_part(seconds(model, *pair, repeat=1), "seconds")
    assert found["receiver", "common information of y"] > 0.9 * slept[-1]
    with pytest.raises(ndic.NDICError, match="repeat must be 1 or more"):
        seconds(model, *pair, repeat=0)


def test_bars_are_as_long_as_the_work_and_long_ones_are_cut():
    rows = [dict(model="bls17", side="sender", part="analysis of x", gmac=1.0)]
    rows += [dict(model="bls17", side="receiver", part=part, gmac=2.0) for part in ("scales", "synthesis of x")]
    rows += [dict(model="bmshj18", side="receiver", part="alignment", gmac=150.0)]
    (axis,) = cost_bars({"all": rows}, "gmac", "MMAC", scale=1000).axes
    assert [bar.get_width() for bar in axis.patches] == [1000, 2000, 2000, 150_000]
    assert [bar.get_x() for bar in axis.patches] == [0, 0, 2000, 0]
    assert 4000 < axis.get_xlim()[1] < 12_000
    assert [text.get_text() for text in axis.texts] == ["sender 1000", "receiver 4000", "receiver 150000 →"]
    assert axis.get_xlabel() == "MMAC"


def test_a_long_bar_can_be_shown_whole_and_one_side_is_centred():
    rows = [dict(model="bls17", side="receiver", part="synthesis of x", gmac=2.0)]
    rows += [dict(model="bmshj18", side="receiver", part="synthesis of x", gmac=1.0)]
    rows += [dict(model="cross_attention", side="receiver", part="alignment", gmac=150.0)]
    (axis,) = cost_bars({"all": rows}, "gmac", "GMAC", cut=False).axes
    assert axis.get_xlim()[1] > 150
    assert [bar.get_y() + bar.get_height() / 2 for bar in axis.patches] == pytest.approx([0, 1, 2])
