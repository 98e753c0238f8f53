"""The block figures show the facts of a model, and all of their texts can be read."""

from functools import lru_cache
from itertools import combinations, pairwise

import pytest
import torch
from conftest import SIDE_INFO
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Bbox

import ndic_core as ndic
from ndic_core.evaluation.architecture import describe, size_words
from ndic_core.plots.architecture import architecture
from ndic_core.plots.codec_diagram import TAGS
from ndic_core.plots.layer_words import block_words, parameter_words

SIZE = 64, 64
SYMBOLS = {"x": r"$\hat{h}_x$", "z": r"$\hat{z}$"}


@lru_cache
def model(name, size=SIZE, num_filters=8, **options):
    if name == "cross_attention":
        options = dict(embed_dim=16, heads=2) | options
    return ndic.build_model(name, num_filters=num_filters, image_size=size, **options)


class Drawn:
    """A figure's texts, boxes and lines, in pixels; y grows upwards."""

    def __init__(self, figure):
        figure.set_dpi(80)
        figure.canvas.draw()
        axis = figure.axes[0]
        self.frame = figure.bbox
        self.texts = [(text.get_text(), text.get_window_extent()) for text in axis.texts if text.get_text()]
        patches = [patch for patch in axis.patches if isinstance(patch, FancyBboxPatch)]
        self.boxes = [patch.get_window_extent() for patch in patches]
        self.lines = [line.get_transform().transform(line.get_xydata()) for line in axis.lines]

    @property
    def words(self):
        return [words for words, _ in self.texts]

    def box_of(self, title):
        """What is written in the box with this title."""
        at = next(box for words, box in self.texts if words == title)
        around = [box for box in self.boxes if holds(box, at)]
        (box,) = [box for box in around if box.width == max(one.width for one in around)]
        return [words for words, other in self.texts if holds(box, other)]


def holds(outer, inner):
    return outer.x0 - 1 <= inner.x0 and inner.x1 <= outer.x1 + 1 and outer.y0 <= inner.y0 and inner.y1 <= outer.y1 + 1


@lru_cache
def drawn(name, detail=True):
    return Drawn(architecture(model(name), SIZE, detail))


TITLES = {f"cams.{i}": f"CAM {i + 1}, cross-attention" for i in range(3)}
SEARCHES = {"cams.0": "row search, 1/8", "cams.1": "row refinement, 1/4", "cams.2": "row refinement, 1/2"}


def title_of(name, block):
    if block.endswith(".prior_z") or block == "gain":
        return None  # written in the range coder
    if block.startswith("prior_y."):
        return "prior_y"
    return (SEARCHES if name == "parallax_attention" else TITLES).get(block, block)


def assert_readable(figure):
    for (words, box), (other, beside) in combinations(figure.texts, 2):
        overlap = Bbox.intersection(box, beside)
        assert overlap is None or min(overlap.width, overlap.height) <= 1, (words, other)
    for words, box in figure.texts:
        assert holds(figure.frame, box), words
        inside = [one for one in figure.boxes if holds(one, box)]
        for one in figure.boxes:
            overlap = Bbox.intersection(one, box)
            assert one in inside or overlap is None or min(overlap.width, overlap.height) <= 1, words
        if not inside:  # boxes cover lines
            smaller = Bbox.from_extents(box.x0 + 1, box.y0 + 1, box.x1 - 1, box.y1 - 1)
            for line in figure.lines:
                for start, end in pairwise(line):
                    assert not crosses(smaller, start, end), words


def crosses(box, start, end):
    """Whether a horizontal or vertical line meets a box."""
    (left, right), (low, high) = sorted((start[0], end[0])), sorted((start[1], end[1]))
    return left <= box.x1 and right >= box.x0 and low <= box.y1 and high >= box.y0


@pytest.mark.parametrize("detail", [True, False])
@pytest.mark.parametrize("name", ndic.MODELS)
def test_texts_can_be_read(name, detail):
    assert_readable(drawn(name, detail))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ndic_bmshj18", "cross_attention", "parallax_attention"])
def test_texts_of_large_models_can_be_read(name):
    """Of a variable rate, 256 filters and images of 512 × 1024."""
    this = ndic.build_model(name, num_filters=256, image_size=(512, 1024), lmbda=(1e-4, 1e-2))
    figure = Drawn(architecture(this, (512, 1024)))
    assert_readable(figure)
    assert "256 × 32 × 64" in figure.words
    assert {"× gain,", "× inverse"} <= set(figure.words)


@pytest.mark.parametrize("name", ndic.MODELS)
def test_what_is_transmitted_is_on_the_channel(name):
    this, figure = model(name), drawn(name)
    sender, receiver = (next(box for words, box in figure.texts if words == side) for side in ("SENDER", "RECEIVER"))
    between = [(words, box) for words, box in figure.texts if sender.x1 < box.x0 and box.x1 < receiver.x0 + 5]
    (channel,) = [box for words, box in between if words == "CHANNEL"]
    on_it = [words for words, box in between if abs(box.x0 + box.x1 - channel.x0 - channel.x1) < 4]
    latents = {word for word in on_it if word.startswith("$")} - {tag.words for tag, _ in TAGS.values()}
    assert latents == {SYMBOLS[key] for key in this.transmitted}
    blocks = describe(this, SIZE).blocks
    sent = {"x": "analysis_x", "z": "prior_x.hyper_analysis"}
    assert {size_words(blocks[sent[key]].output) for key in this.transmitted} <= set(on_it)
    assert ("the encoder never sees y" in figure.words) == (name in SIDE_INFO)


@pytest.mark.parametrize("size", [SIZE, (64, 128)])
@pytest.mark.parametrize("name", ndic.MODELS)
def test_blocks_show_layers_sizes_and_terms(name, size):
    this = model(name, size)
    found = describe(this, size)
    figure = drawn(name) if size == SIZE else Drawn(architecture(this, size))
    for block in found.blocks.values():
        title = title_of(name, block.name)
        if title is None:
            continue
        inside = figure.box_of(title)
        tags = {TAGS[term][0].words for term in block.terms}
        assert {words for words in inside if words in {tag.words for tag, _ in TAGS.values()}} == tags, block.name
        if title == "prior_y" and title != block.name:
            assert "hyperprior as prior_x" in inside
            continue
        listed = " ".join(" ".join(inside).split())
        for line in block_words(block):
            assert line in listed, block.name
        if not block.name.startswith(("synthesis_x.", "synthesis_y.", "pyramid")):
            assert parameter_words(block.parameters) in inside
        if not block.name.startswith("prior") or "hyper_a" in block.name:
            assert size_words(block.output) in " ".join(figure.words)
    for term in TAGS:
        assert (TAGS[term][1] in figure.words) == (term in found.terms)


def test_the_simple_figure_has_no_layers():
    words = drawn("cross_attention", detail=False).words
    assert not any("conv" in line or "parameters" in line for line in words)
    assert not {tag.words for tag, _ in TAGS.values()} & set(words)
    assert {"CAM 1, cross-attention", "8 × 4 × 4"} <= set(words)


def test_one_line_for_equal_layers():
    blocks = describe(ndic.build_model("bmshj18", num_filters=8)).blocks
    assert block_words(blocks["synthesis_x"]) == ["3 × (deconv 5×5, 8, ↑2 + IGDN)", "deconv 5×5, 3, ↑2"]
    hyper = ["conv 3×3, 8", "conv 5×5, 8, ↓2 + ReLU", "conv 5×5, 8, ↓2"]
    assert block_words(blocks["prior_x.hyper_analysis"]) == hyper


@pytest.mark.parametrize(("count", "words"), [(9, "9"), (1234, "1.23 k"), (2891136, "2.89 M"), (1000000, "1 M")])
def test_numbers_of_parameters(count, words):
    assert parameter_words(count) == f"{words} parameters"


def test_what_cannot_be_drawn():
    with pytest.raises(ndic.NDICError, match="model must be one that build_model or load_checkpoint returns"):
        architecture(torch.nn.Conv2d(3, 3, 3))
    with pytest.raises(ndic.NDICError, match="accepts no images of size"):
        architecture(model("bls17"), (60, 64))
