"""Block diagrams of the models, drawn from the modules of a model: layers, tensor sizes, transmission, loss terms."""

from itertools import pairwise

from matplotlib.figure import Figure

from ndic_core.evaluation.architecture import describe, size_words
from ndic_core.models.codec import Codec
from ndic_core.plots import style
from ndic_core.plots.blocks import SMALL, TEXT, Box, box_height
from ndic_core.plots.codec_diagram import ANALYSIS, CODE, H_HAT, SYNTHESIS, CodecDiagram
from ndic_core.plots.layer_words import parameter_words

# Where features are aligned: decoder of y, alignment, decoder of x; and x of the flow in both decoders.
_OF_Y, _ALIGN, _OF_X = (0.35, 2.35), (3.15, 2.6), (6.3, 2.4)
_FLOW_Y, _FLOW_X = 2.1, 7.05


def architecture(model: Codec, size: tuple[int, int] | None = None, detail: bool = True) -> Figure:
    """The blocks of a model at sender and receiver, what is transmitted, and what trains each block.

    Layers, kernels, strides, channels and tensor sizes are those of the modules; the terms of the loss that train a
    block follow from automatic differentiation, see `describe`.

    Args:
        model: any of `ndic_core.MODELS`, trained or not; it is not changed.
        size: height and width of x; by default 128 × 256, or the only size that the weights accept.
        detail: with layers, numbers of parameters and loss terms; without, blocks and tensor sizes alone.

    Returns:
        A figure of 9 inches.

    Raises:
        NDICError: `model` is no codec, or does not accept `size`.
    """
    found = describe(model, size)
    if "retouch" in found.blocks:
        return _Parallax(found, detail).draw()
    if "cams.0" in found.blocks:
        return _CrossAttention(found, detail).draw()
    if "analysis_w" in found.blocks:
        return _CommonInformation(found, detail).draw()
    return CodecDiagram(found, detail).draw()


class _SideInformation(CodecDiagram):
    """What the diagrams with y have in common."""

    def never_sees(self, *corners: tuple[float, float], sender: float) -> None:
        """A crossed-out line from y to the sender, which ends at a height."""
        x = corners[-1][0]
        self.canvas.arrow(*corners, (x, sender), colour=style.VERMILION, dashed=True)
        self.canvas.crossed_out(x, sender + 0.25)
        self.canvas.text(x + 0.16, sender + 0.27, "the encoder never sees y", SMALL, color=style.VERMILION)

    def prior(self, name: str, left: float, y: float, width: float = 1.45) -> Box:
        """The prior of a latent that is not sent."""
        lines = [] if not self.detail else self._prior_lines(name)
        at = name if name in self.blocks else f"{name}.hyper_analysis"
        return self.block(at, (left, width), y - box_height(len(lines)) / 2, title=name, lines=lines)

    def _prior_lines(self, name: str) -> list[str]:
        parts = {key: block for key, block in self.blocks.items() if key.startswith(name)}
        if len(parts) == 1:
            words = ["factorised prior"]
        else:
            like = all(block.layers == self.blocks[key.replace(name, "prior_x")].layers for key, block in parts.items())
            words = ["hyperprior as prior_x" if like else "scale hyperprior"]
        return [*words, parameter_words(sum(block.parameters for block in parts.values()))]


class _CommonInformation(_SideInformation):
    """With common information w and a decoder of y, which is for the loss only."""

    def lines(self, name: str, width: float) -> list[str]:
        joined = {"synthesis_x": "$[\\hat{h}_x, w]$", "synthesis_y": "$[h_y, w]$"}
        first = [f"{joined[name]}: {size_words(self.blocks[name].inputs[0])}"] if name in joined and self.detail else []
        return first + super().lines(name, width)

    def side_information(self, top: float) -> float:
        of_w = self.block("analysis_w", ANALYSIS, top + 0.5)
        middle = of_w.bottom + 0.36
        of_y = self.block("analysis_y", ANALYSIS, middle + 0.36)
        synthesis = self.block("synthesis_y", SYNTHESIS, of_y.top)
        self.canvas.text(0.95, middle, f"y  {self.image}", TEXT, ha="center")
        self.canvas.arrow((0.95, middle - 0.1), (0.95, of_w.bottom))
        self.canvas.arrow((0.95, middle + 0.1), (0.95, of_y.top))
        # w: to both syntheses, and to its prior
        y, fork, x = of_w.middle[1], 2.85, 7.0
        prior = self.prior("prior_w", CODE[0], y)
        self.canvas.arrow((of_w.right, y), (fork, y), (fork, middle), (x, middle), head=False)
        self.canvas.arrow((x, middle), (x, self.synthesis.bottom))
        self.canvas.arrow((x, middle), (x, synthesis.top))
        self.canvas.arrow((fork, y), (prior.left, y), dashed=True)
        self.over(4.6, middle, "$w$", "analysis_w", 1.2)
        # y's latent: to the synthesis, and to its prior
        y = of_y.top + 0.2
        below = self.prior("prior_y", CODE[0], y + 0.2 + box_height(2 * self.detail) / 2)
        self.canvas.arrow((of_y.right, y), (synthesis.left, y))
        self.canvas.arrow((fork, y), (fork, below.middle[1]), (below.left, below.middle[1]), dashed=True)
        self.over(5.7, y, "$h_y$", "analysis_y", 1.2)
        self._image("ŷ", (8.0, synthesis.top))
        self.never_sees((0.33, middle), (0.18, middle), sender=top)
        return max(of_y.bottom, synthesis.bottom, below.bottom) + 0.12


class _Aligned(_SideInformation):
    """With a decoder of x whose features are joined with aligned features of y after each of three stages."""

    aligned = True
    gap: float  # between two stages

    def stages_of_x(self, top: float) -> list[Box]:
        """Draw the decoder of x from the first stage on, without what is aligned."""
        boxes = []
        for number in range(1, 5):
            boxes.append(self.block(f"synthesis_x.stage{number}", _OF_X, top))
            top = boxes[-1].bottom + self.gap
        for number, (box, below) in enumerate(pairwise(boxes), 1):
            x, y = _FLOW_X, box.bottom
            self.canvas.arrow((x, y), (x, below.top))
            this, following = (self.blocks[f"synthesis_x.stage{i}"] for i in (number, number + 1))
            self.canvas.text(x + 0.09, y + 0.13, size_words(this.output), SMALL, 1.7)
            self.concat(x, y + 0.37, size_words(following.inputs[0]))
        return boxes

    def concat(self, x: float, y: float, size: str, left: bool = False) -> None:
        """A concatenation along channels; the size of the result is to the right, or to the left."""
        self.canvas.node(Box(x - 0.28, y - 0.1, 0.56, 0.2), ["concat"], style.DARK_GREY)
        self.canvas.text(x - 0.36 if left else x + 0.36, y, size, SMALL, 1.4, ha="right" if left else "left")

    def align(self, number: int, title: str, stage: Box) -> Box:
        """Draw an alignment module beside the gap below a stage of x; its input from there, its output to there."""
        name = f"cams.{number}"
        height, middle = self.height(name, _ALIGN), stage.bottom + 0.25
        box = self.block(name, _ALIGN, middle - height / 2, title=title)
        self.canvas.arrow((_FLOW_X, stage.bottom + 0.13), (box.right, stage.bottom + 0.13))
        self.canvas.arrow((box.right, stage.bottom + 0.37), (_FLOW_X - 0.28, stage.bottom + 0.37))
        x, size = (box.right + _FLOW_X - 0.32) / 2, size_words(self.blocks[name].output)
        self.canvas.text(x, stage.bottom + 0.25, "aligned y", SMALL, ha="center")
        self.canvas.text(x, stage.bottom + 0.49, size, SMALL, 0.86, ha="center")
        return box

    def into_decoder(self, end: float) -> None:
        """The latent of x from the range decoder down to the first stage, or to what it is joined with."""
        y = self.decode.middle[1]
        self.canvas.arrow((self.decode.right, y), (_FLOW_X, y), (_FLOW_X, end))
        self.beside(_FLOW_X, y + 0.3, H_HAT, "analysis_x")


class _CrossAttention(_Aligned):
    """With a decoder of y, which runs stage by stage too."""

    gap = 0.68

    def side_information(self, top: float) -> float:
        y, middle = top + 0.52, sum(_ALIGN) - _ALIGN[1] / 2
        of_y, of_w = self.block("analysis_y", _OF_Y, y + 0.26), self.block("analysis_w", _ALIGN, y + 0.26)
        self.canvas.text(2.97, y, f"y  {self.image}", TEXT, ha="center")
        self.canvas.arrow((2.3, y), (1.5, y), (1.5, of_y.top))
        self.canvas.arrow((3.64, y), (middle, y), (middle, of_w.top))
        self.never_sees((2.97, y - 0.1), sender=top)
        # latents, their priors, and w to both decoders
        height = box_height(2 * self.detail)
        y, join = of_y.bottom + 0.12 + height / 2, of_y.bottom + height + 0.36
        self.beside(_FLOW_Y, y, "$h_y$", "analysis_y")
        self.beside(middle, y, "$w$", "analysis_w", left=True)
        below = self.prior("prior_y", _OF_Y[0], y, 1.36), self.prior("prior_w", middle + 0.25, y, 1.36)
        self.canvas.arrow((_FLOW_Y, y), (below[0].right, y), dashed=True)
        self.canvas.arrow((middle, y), (below[1].left, y), dashed=True)
        self.canvas.arrow((middle, of_w.bottom), (middle, join), head=False)
        self.canvas.arrow((middle, join), (_FLOW_Y + 0.28, join))
        self.canvas.arrow((middle, join), (_FLOW_X - 0.28, join))
        for x, of in ((_FLOW_X, "x"), (_FLOW_Y, "y")):
            self.concat(x, join, size_words(self.blocks[f"synthesis_{of}.stage1"].inputs[0]), left=of == "y")
        first = join + 0.36
        self.into_decoder(first)
        self.canvas.arrow((_FLOW_Y, of_y.bottom), (_FLOW_Y, first))
        boxes = self.stages_of_x(first)
        for number, box in enumerate(boxes, 1):
            stage = self.block(f"synthesis_y.stage{number}", _OF_Y, box.top)
            if number == 4:
                break
            cam = self.align(number - 1, f"CAM {number}, cross-attention", box)
            y = stage.bottom + 0.13
            self.canvas.arrow((_FLOW_Y, stage.bottom), (_FLOW_Y, boxes[number].top))
            self.canvas.arrow((_FLOW_Y, y), (cam.left, y))
            size = size_words(self.blocks[f"synthesis_y.stage{number}"].output)
            self.canvas.text(_FLOW_Y - 0.09, y, size, SMALL, 1.6, ha="right")
        self._image("x̂", (_FLOW_X, boxes[-1].bottom), below=True)
        self._image("ŷ", (_FLOW_Y, stage.bottom), below=True)
        return boxes[-1].bottom + 0.5


class _Parallax(_Aligned):
    """With features of y at three scales, a match that is refined from scale to scale, and a retouch with y."""

    gap = 0.78

    def lines(self, name: str, width: float) -> list[str]:
        found = super().lines(name, width)
        if found and name.startswith("pyramid"):  # no arrow has room for the size
            return [*found[:-1], size_words(self.blocks[name].output)]
        return found

    def side_information(self, top: float) -> float:
        first = top + 0.62
        self.into_decoder(first)
        boxes = self.stages_of_x(first)
        levels, cams, x = [], [], sum(_ALIGN) - _ALIGN[1] / 2
        titles = ("row search", "row refinement", "row refinement")
        for number, (box, title) in enumerate(zip(boxes, titles, strict=False)):
            scale = self.found.size[0] // self.blocks[f"cams.{number}"].output[1]
            cams.append(self.align(number, f"{title}, 1/{scale}", box))
            name, y = f"pyramid_y.conv{3 - number}", cams[-1].middle[1]
            levels.append(self.block(name, _OF_Y, y - self.height(name, _OF_Y) / 2))
            self.canvas.arrow((levels[-1].right, y), (cams[-1].left, y))
        retouch = self.block("retouch", _OF_X, boxes[-1].bottom + 0.4)
        self.canvas.arrow((_FLOW_X, boxes[-1].bottom), (_FLOW_X, retouch.top))
        self.canvas.text(_FLOW_X + 0.09, boxes[-1].bottom + 0.18, size_words(self.blocks["retouch"].inputs[0]), SMALL)
        for above, below in pairwise(levels):
            self.canvas.arrow((1.5, below.top), (1.5, above.bottom))
        for above, below in pairwise(cams):
            self.canvas.arrow((x, above.bottom), (x, below.top))
            self.canvas.text(x + 0.09, (above.bottom + below.top) / 2, "match", SMALL)
        y = retouch.bottom - retouch.height / 4
        self.canvas.text(1.5, y, f"y  {self.image}", TEXT, ha="center")
        self.canvas.arrow((1.5, y - 0.1), (1.5, levels[-1].bottom))
        self.canvas.arrow((2.2, y), (retouch.left, y))
        self.never_sees((0.8, y), (0.2, y), sender=top)
        y = retouch.top + retouch.height / 4
        self.canvas.arrow((x, cams[-1].bottom), (x, y), (retouch.left, y))
        self.canvas.text(x + 0.09, y - 0.13, "match", SMALL)
        self._image("x̂", (_FLOW_X, retouch.bottom), below=True)
        return retouch.bottom + 0.5
