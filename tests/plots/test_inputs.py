"""All figures accept the tensors that the package returns, and refuse other images in one sentence."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import ndic_core
from ndic_core.catalogue import STRIDES
from ndic_core.data.street import Street
from ndic_core.errors import NDICError
from ndic_core.models.entropy_models import FactorizedPrior
from ndic_core.plots import (
    attention,
    bits,
    bitstream,
    common_information,
    comparison,
    complexity,
    correlation,
    data_preparation,
    hyperprior,
    layers,
    matching,
    panels,
    pitfalls,
    quality,
    range_coder,
    stereo,
    system_diagram,
    three_decodings,
    training,
    training_cost,
    transform_coding,
)
from ndic_core.plots.style import image, images, pixels, values

SCENE = Street(size=(32, 64)).pair(0)
PATCHES = torch.full((1, 2, 4, 4, 4, 4), 1 / 16)
WINDOWS = [torch.full((1, 1, 32 // stride, 64 // stride, 3, 5), 1 / 16) for stride in STRIDES]
PRIOR = FactorizedPrior(4)


def sent(x_hat, model="bls17") -> dict:
    """A round trip of an image that is too small for MS-SSIM."""
    return dict(model=model, lmbda=1e-4, bytes=9, bpp=0.1, psnr=20.0, ms_ssim=None, ms_ssim_db=None, x_hat=x_hat)


ROWS = [dict(model="bls17", bpp=bpp, psnr=30 + bpp, ms_ssim_db=None) for bpp in (0.1, 0.2)]
POINT = [dict(bpp=torch.tensor(r), distortion=torch.tensor(0.1 / r)) for r in (1.0, 2.0)]
FIGURES = {  # what takes a conversion and an image
    "contact_sheet": lambda c, x: panels.contact_sheet([x, x], ["a", "b"]),
    "side_by_side": lambda c, x: panels.side_by_side(x, x, x, 0.1),
    "inspection": lambda c, x: panels.inspection(x, sent(x), c(torch.rand(32, 64))),
    "swipe": lambda c, x: panels.swipe(sent(x), sent(x)),
    "tradeoff": lambda c, x: panels.tradeoff(x, sent(x), ROWS),
    "lagrangian": lambda c, x: comparison.lagrangian([{k: c(v) for k, v in p.items()} for p in POINT], 0.1, x),
    "patterns": lambda c, x: transform_coding.patterns({"a": [x, x]}),
    "lambda_strip": lambda c, x: transform_coding.lambda_strip(
        x, [{k: c(v) for k, v in p.items()} for p in POINT], [sent(x)]
    ),
    "damages": lambda c, x: quality.damages(x, {"a": x}, {"a": c(torch.rand(5))}),
    "decodings": lambda c, x: three_decodings.decodings(x, {"a": x, "b": None}, {"a": sent(x), "b": sent(x)}),
    "two_cameras": lambda c, x: system_diagram.two_cameras(x, x, x, b"abc"),
    "matching_points": lambda c, x: stereo.matching_points(x, x, c(SCENE.disparity), c(SCENE.occluded), [(9, 20)]),
    "alignment": lambda c, x: stereo.alignment(x, x, c(SCENE.disparity), c(SCENE.occluded)),
    "kinds_of_side_information": lambda c, x: correlation.kinds_of_side_information(x, {"a": (x, x, 1.0)}, 2.0, 0.5),
    "crop_and_resize": lambda c, x: data_preparation.crop_and_resize(x, (8, 16), x),
    "patch_attention": lambda c, x: attention.patch_attention(
        x,
        {"a": attention.PatchSearch(x, c(PATCHES), c(SCENE.disparity), c(SCENE.occluded), c(torch.zeros(32, 64)))},
    ),
    "same_place": lambda c, x: attention.same_place(
        replace(SCENE, x=x, y=x, disparity=c(SCENE.disparity), occluded=c(SCENE.occluded)),
        {"a": c(PATCHES), "b": c(WINDOWS[2])},
        (9, 20),
        ["", ""],
    ),
    "row_attention": lambda c, x: matching.row_attention(
        replace(SCENE, x=x, y=x, disparity=c(SCENE.disparity), occluded=c(SCENE.occluded)), c(WINDOWS[0]), 8, 9, 20
    ),
    "bit_savings": lambda c, x: bits.bit_savings(x, *(c(torch.rand(32, 64)) for _ in range(2)), ("a", "b")),
    "bit_savings_by_rate": lambda c, x: bits.bit_savings_by_rate(
        x, [("low", c(torch.rand(32, 64)), c(torch.rand(32, 64)))]
    ),
    "scales_beside_latent": lambda c, x: hyperprior.scales_beside_latent(
        x, c(torch.randn(4, 8)), c(torch.rand(4, 8) + 0.1)
    ),
    "image_table": lambda c, x: common_information.image_table([[x, x]], ["a", "b"]),
    "channel_maps": lambda c, x: common_information.channel_maps(c(torch.randn(2, 2, 4)), x, {0: x}),
}
WITHOUT_IMAGES = {
    "learning_curves": lambda c: training.learning_curves(
        {"a": [{key: c(torch.tensor(1.0)) for key in ("epoch", "lr", "val_loss", "bpp", "psnr")}]}
    ),
    "short_runs": lambda c: training.short_runs({"a": [{"loss": c(torch.tensor(1.0))}] * 3}),
    "disparity_maps": lambda c: stereo.disparity_maps({"a": c(SCENE.disparity)}, c(SCENE.occluded)),
    "soft_lookups": lambda c: attention.soft_lookups({"a": [c(torch.randn(n)) for n in (5, 5, 5, (5, 5))]}),
    "attention_disparity": lambda c: matching.attention_disparity(
        replace(SCENE, disparity=c(SCENE.disparity), occluded=c(SCENE.occluded)), [*map(c, WINDOWS)]
    ),
    "channel_scales": lambda c: hyperprior.channel_scales(
        [("edges", c(torch.rand(32, 64)), c(torch.randn(4, 8)), c(torch.rand(4, 8) + 0.1))]
    ),
    "saving_over_rate": lambda c: hyperprior.saving_over_rate(c(torch.arange(4.0)), c(torch.arange(4.0)), 1.0),
    "bow_ties": lambda c: layers.bow_ties(c(torch.randn(2, 99)), c(torch.randn(2, 99))),
    "channels_by_rank": lambda c: layers.channels_by_rank(
        PRIOR, c(torch.randn(1, 4, 8, 8).round()), c(torch.rand(4)), (1, 2, 4), c(torch.ones(4))
    ),
    "latent_density": lambda c: layers.latent_density(PRIOR, c(torch.randn(1, 4, 8, 8).round()), 1, c(torch.ones(4))),
    "rounding_and_noise": lambda c: layers.rounding_and_noise(PRIOR, 1, c(torch.ones(4))),
    "window_factors": lambda c: quality.window_factors(
        {"a": c(torch.rand(8, 8)), "b": c(torch.rand(8, 8))}, {"b": c(torch.rand(3))}, 2
    ),
    "loss_terms": lambda c: training.loss_terms([c(torch.tensor(1.0))] * 5, [c(torch.tensor(2.0))] * 5, 0.1, 2),
}


def trained(tensor):
    """In 16 bits and with a gradient, as a training has it."""
    return tensor.bfloat16().requires_grad_() if tensor.is_floating_point() else tensor


def array(tensor):
    """A view of an array that PyTorch itself refuses: its rows run backwards."""
    return np.flip(np.flip(tensor.numpy()).copy())


@pytest.fixture(autouse=True)
def nothing_left_open():
    yield
    assert plt.get_fignums() == []


@pytest.mark.parametrize("convert", [trained, array])
@pytest.mark.parametrize("name", [*FIGURES, *WITHOUT_IMAGES])
def test_figures_accept_tensors_of_a_training_and_arrays(name, convert):
    if name in FIGURES:
        FIGURES[name](convert, convert(SCENE.x))
    else:
        WITHOUT_IMAGES[name](convert)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_refuse_a_batch(name):
    with pytest.raises(NDICError, match=r"has shape \(3, H, W\), not \(1, 3, 32, 64\): give one image of the batch"):
        FIGURES[name](lambda tensor: tensor, SCENE.x[None])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_an_image_of_any_floating_type_is_shown(dtype):
    shown = pixels((1.5 * SCENE.x).to(dtype).requires_grad_())
    assert shown.dtype == np.float32
    assert np.abs(shown - (1.5 * SCENE.x).clamp(0, 1).permute(1, 2, 0).numpy()).max() < 0.01
    assert np.array_equal(pixels(SCENE.x.numpy()[:, :, ::-1]), SCENE.x.flip(2).permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (torch.rand(4, 6, 3), r"\(3, H, W\), not \(4, 6, 3\): give image.permute\(2, 0, 1\)"),
        (torch.rand(4, 6), "repeat a grey image three times"),
        (torch.rand(1, 4, 6), "repeat a grey image three times"),
        (torch.rand(3, 0, 6), r"not \(3, 0, 6\)"),
        ([[0.0]], "not list"),
        (torch.ones(3, 4, 6, dtype=torch.uint8), "not uint8: divide 8-bit values by 255"),
        (np.ones((3, 4, 6), np.int64), "not int64: divide"),
        (255 * torch.ones(3, 4, 6), "this one has 255: divide 8-bit values by 255"),
        (torch.full((3, 4, 6), torch.nan), "NaN in 72 of 72 values"),
        (np.full((3, 4, 6), "a", object), "draws numbers"),
    ],
)
def test_what_is_no_image_is_named(wrong, sentence):
    with pytest.raises(NDICError, match=f"^x: .*{sentence}|{sentence}"):
        image(wrong, "x")


def test_images_of_different_sizes_are_named():
    with pytest.raises(NDICError, match=r"images of one size are needed, not x of 4 × 6, y of 4 × 7$"):
        images(x=torch.rand(3, 4, 6), x_hat=None, y=torch.rand(3, 4, 7))
    with pytest.raises(NDICError, match="images of one size are needed, not x of 32 × 64, x_hat of 16 × 64"):
        panels.side_by_side(SCENE.x, None, SCENE.x[:, ::2], 0.1)


def test_a_contact_sheet_needs_a_title_for_each_image():
    for count in (0, 2):
        with pytest.raises(NDICError, match=f"not 1 for {count}"):
            panels.contact_sheet([SCENE.x] * count, ["a"])


def test_numbers_may_be_in_lists():
    assert values([torch.tensor(1.0, requires_grad=True), 2, np.float32(3)]).tolist() == [1, 2, 3]
    with pytest.raises(NDICError, match="draws numbers"):
        values("text")


def test_figures_belong_to_no_window():
    """A figure of pyplot would stay in its registry where a function raises an error."""
    for file in (Path(ndic_core.__file__).parent / "plots").glob("*.py"):
        code = file.read_text()
        assert "import matplotlib.pyplot" not in code
        assert "import pyplot" not in code


X, OTHER_SIZE = SCENE.x, torch.rand(16, 64)
TIMES = dict(model="bls17", ms_ssim_db=9.0, side_info="matching_y")
SIDED = ROWS[0] | dict(model="ndic_bls17")
STEPS = [("0", 10, [], 20)]
SEARCH = partial(attention.PatchSearch, SCENE.y, PATCHES)
CHANNEL_99 = r"channel=99 must be a whole number from 0 to"
NOT_DRAWN = {  # by what is wrong: the figure, and a part of the sentence
    "columns 0": (lambda: panels.contact_sheet([X], ["a"], columns=0), "columns=0 must be a whole number of 1 or more"),
    "columns of a tensor": (
        lambda: panels.contact_sheet([X], ["a"], columns=X),
        r"^columns=tensor\(\[\[\[[^\n]{60,80}\.\.\. must be a whole number of 1 or more$",
    ),
    "columns 1.5": (lambda: panels.contact_sheet([X], ["a"], columns=1.5), "columns=1.5 must be a whole number"),
    "one colour": (lambda: panels.contact_sheet([X, X], ["a", "b"], colours=["red"]), "not 1 for 2"),
    "complex image": (lambda: panels.contact_sheet([X + 0j], ["a"]), "not complex ones: give the real part"),
    "complex array": (lambda: panels.contact_sheet([X.numpy() + 0j], ["a"]), "not complex ones: give the real part"),
    "bpp None": (lambda: panels.side_by_side(X, X, X, None), "bpp is None: give one number"),
    "evaluate's row 1": (lambda: panels.inspection(X, ROWS[0], X[0]), "no x_hat.*the result of roundtrip"),
    "evaluate's row 2": (lambda: panels.tradeoff(X, ROWS[0], ROWS), "no x_hat.*the result of roundtrip"),
    "evaluate's row 3": (lambda: panels.swipe(sent(X), ROWS[0]), "no x_hat.*the result of roundtrip"),
    "unknown model 1": (lambda: panels.tradeoff(X, sent(X, "z"), ROWS), "'z' has no style"),
    "unknown model 2": (lambda: panels.swipe(sent(X, "z"), sent(X)), "'z' has no style"),
    "rows without model": (lambda: panels.rate_distortion([dict(bpp=0.1, psnr=30.0)]), "None has no style"),
    "map 1": (
        lambda: panels.inspection(X, sent(X), OTHER_SIZE),
        r"bits must have the size of its image, \(32, 64\), not",
    ),
    "map 2": (
        lambda: stereo.matching_points(X, X, OTHER_SIZE, SCENE.occluded, [(1, 1)]),
        "disparity must have the size",
    ),
    "map 3": (
        lambda: stereo.matching_points(X, X, SCENE.disparity, OTHER_SIZE, [(1, 1)]),
        "hidden must have the size",
    ),
    "map 4": (lambda: stereo.alignment(X, X, SCENE.disparity, OTHER_SIZE), "hidden must have the size"),
    "map 5": (lambda: attention.patch_attention(X, {"a": SEARCH(OTHER_SIZE)}), "disparity must have the size"),
    "edge 2": (lambda: panels.swipe(sent(X), sent(X), 2), "edge is 2: give a position from 0 to 1"),
    "edge NaN": (lambda: panels.swipe(sent(X), sent(X), np.nan), "edge is nan: give one number"),
    "row -1": (
        lambda: matching.row_attention(SCENE, WINDOWS[0], 8, -1, 2),
        r"\(-1, 2\) is outside an image of 32 rows",
    ),
    "column 64": (lambda: matching.row_attention(SCENE, WINDOWS[0], 8, 1, 64), r"\(1, 64\) is outside"),
    "row 1.5": (lambda: matching.row_attention(SCENE, WINDOWS[0], 8, 1.5, 2), "row=1.5 must be a whole number$"),
    "another stride": (lambda: matching.row_attention(SCENE, WINDOWS[1], 8, 1, 2), r"stride=8: features of \(8, 16\)"),
    "place": (lambda: attention.patch_attention(X, {"a": SEARCH(SCENE.disparity)}, (0, -1)), "outside an image"),
    "channel 1": (lambda: layers.latent_density(PRIOR, torch.zeros(1, 4, 2, 2), 99), CHANNEL_99),
    "channel 2": (lambda: layers.rounding_and_noise(PRIOR, 99), CHANNEL_99),
    "channel 3": (lambda: common_information.channel_maps(X, X, {99: X}), CHANNEL_99),
    "no offset": (lambda: comparison.quality_over_offset([TIMES]), "a row of bls17 has no time_offset"),
    "no kind": (lambda: comparison.quality_over_offset([TIMES | dict(side_info=None)]), "side_info is None: choose"),
    "no interval": (lambda: comparison.spread({"a": [1.0]}, {}, "x"), "no interval of a: give one for each"),
    "distortion None": (
        lambda: comparison.lagrangian([dict(bpp=1.0, distortion=None)], 0.1),
        "a row has no distortion",
    ),
    "metric": (lambda: comparison.lagrangian(POINT, 0.1, metric="ms-ssim"), "metric is 'ms-ssim': choose from MS-SSIM"),
    "lists of two lengths": (lambda: training.loss_terms([1, 2, 3], [1, 2], 0.1, 1), "give as many, not 3 and 2"),
    "window 0": (lambda: training.loss_terms([1, 2], [1, 2], 0.1, 0), "window=0 must be a whole number from 1 to 2"),
    "window 3": (lambda: training.loss_terms([1, 2], [1, 2], 0.1, 3), "window=3 must be a whole number from 1 to 2"),
    "digits": (lambda: range_coder.coder_states({"0": (0, 5)}, STEPS), "must cover the digits 0 to 9 in order"),
    "latents": (lambda: range_coder.latents_after(X[0], {"a": (X[:, 0], None)}), "a: the latents must have the shape"),
}
EMPTY = {
    "spread": lambda: comparison.spread({}, {}, "x"),
    "spread of nothing": lambda: comparison.spread({"a": []}, {"a": (0, 1)}, "x"),
    "lagrangian": lambda: comparison.lagrangian([], 0.1),
    "quality_over_offset": lambda: comparison.quality_over_offset([]),
    "curve_panels": lambda: pitfalls.curve_panels({}),
    "gap_strip": lambda: pitfalls.gap_strip({}),
    "overheads": lambda: pitfalls.overheads({}, {}),
    "damages": lambda: quality.damages(SCENE.x, {}, {}),
    "decodings": lambda: three_decodings.decodings(SCENE.x, {}, {}),
    "loss_terms": lambda: training.loss_terms([], [], 0.1),
    "short_runs": lambda: training.short_runs({}),
    "speed_and_memory": lambda: training_cost.speed_and_memory([]),
    "loss_weights": lambda: common_information.loss_weights([]),
    "channel_scales": lambda: hyperprior.channel_scales([]),
    "bit_savings_by_rate": lambda: bits.bit_savings_by_rate(SCENE.x, []),
    "price_of_scales": lambda: hyperprior.price_of_scales([]),
    "image_table": lambda: common_information.image_table([], ["a"]),
    "channel_maps": lambda: common_information.channel_maps(X, X, {}),
    "coder_states": lambda: range_coder.coder_states({"0": (0, 10)}, []),
    "latents_after": lambda: range_coder.latents_after(X[0], {}),
    "size_layouts": lambda: bitstream.size_layouts([]),
    "alignment_scores": lambda: matching.alignment_scores({}),
    "attention_disparity": lambda: matching.attention_disparity(SCENE, []),
    "search_curves": lambda: attention.search_curves({}, 16, (0, 1)),
    "soft_lookups": lambda: attention.soft_lookups({}),
    "patch_attention": lambda: attention.patch_attention(SCENE.x, {}),
    "same_place": lambda: attention.same_place(SCENE, {}, (0, 0), []),
    "cost_bars": lambda: complexity.cost_bars({}, "gmac", "GMAC"),
}


@pytest.mark.parametrize("name", NOT_DRAWN)
def test_what_cannot_be_drawn_is_named(name):
    draw, sentence = NOT_DRAWN[name]
    with pytest.raises(NDICError, match=sentence):
        draw()


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_to_draw_is_refused(name):
    with pytest.raises(NDICError, match=r"^there is no .*: give one at least$"):
        EMPTY[name]()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (dict(bpp=None), "a row of ndic_bls17 has no bpp: measure it first"),
        (dict(bpp=np.nan), "bpp of a row of ndic_bls17 is nan: give one number"),
        (dict(bpp=0), "bpp of a row of ndic_bls17 is 0: a rate is above 0 and finite"),
        (dict(bpp=np.inf), "bpp of a row of ndic_bls17 is inf: a rate"),
        (dict(bpp="0.1"), "bpp of a row of ndic_bls17 is '0.1': give one number, such as read_table returns it"),
        (dict(bpp=[0.1, 0.2]), r"bpp of a row of ndic_bls17 is \[0\.1, 0\.2\]: give one number"),
        (dict(psnr=torch.tensor(torch.nan)), r"psnr of a row of ndic_bls17 is tensor\(nan\): give one number"),
        (dict(psnr="30"), "psnr of a row of ndic_bls17 is '30'"),
        (dict(side_info="none"), "side_info is 'none': choose from matching_y, mismatched_y, no_y"),
    ],
)
def test_points_that_a_curve_cannot_have(change, sentence):
    with pytest.raises(NDICError, match=f"^{sentence}"):
        panels.rate_distortion([SIDED, SIDED | change])


@pytest.mark.parametrize(
    ("argument", "given"), [("rate", "bytes"), ("rate", None), ("metric", "bpp"), ("metric", "PSNR")]
)
def test_options_with_another_word_are_refused(argument, given):
    with pytest.raises(NDICError, match=f"^{argument} is {given!r}: choose from "):
        panels.rate_distortion(ROWS, **{argument: given})


@pytest.mark.parametrize("convert", [trained, lambda tensor: tensor.numpy(), lambda tensor: tensor.tolist()])
def test_numbers_of_rows_may_be_tensors_and_arrays(convert):
    rows = [dict(model="bls17", bpp=convert(torch.tensor(r)), psnr=convert(torch.tensor(30.0))) for r in (0.25, 0.5)]
    assert panels.rate_distortion(rows).axes[0].get_lines()[0].get_xdata().tolist() == [0.25, 0.5]
    numbers = convert(torch.tensor([1.0, 2.0]))
    dots, interval, mean = comparison.spread({"a": numbers}, {"a": numbers}, "x").axes[0].get_lines()[:3]
    assert [list(line.get_xdata()) for line in (dots, interval, mean)] == [[1, 2], [1, 2], [1.5]]


def test_very_small_and_large_rates_have_an_axis():
    figure = panels.rate_distortion([dict(model="bls17", bpp=bpp, psnr=30.0) for bpp in (1e-7, 2e3)])
    low, high = figure.axes[0].get_xlim()
    assert low < 1e-7 < 2e3 < high
