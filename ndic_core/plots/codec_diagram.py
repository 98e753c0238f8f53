"""The block diagram of a codec without side information, which is the upper part of all others."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from ndic_core.evaluation.architecture import Architecture, size_words
from ndic_core.plots import style
from ndic_core.plots.blocks import SMALL, TEXT, Box, Canvas, Tag, box_height, wrapped
from ndic_core.plots.layer_words import block_words, parameter_words

WIDTH = 9.0
TAGS = {  # of the terms of the loss, with their meanings
    "R_x": (Tag("$R_x$", style.ORANGE), "rate of what is transmitted"),
    "D_x": (Tag("$D_x$", style.PURPLE), "distortion of x̂"),
    "alpha": (Tag("$α$", style.SKY, outlined=True), "$α\\,(R_y + D_y)$: rate and distortion of y"),
    "beta": (Tag("$β$", style.DARK_GREY, outlined=True), "$β\\,R_w$: rate of w"),
    "matching": (Tag("match", style.YELLOW), "matching loss, for pairs with known disparity"),
}
_H, H_HAT, _Z_HAT = "$h_x$", "$\\hat{h}_x$", "$\\hat{z}$"

# Columns in inches, (left, width): the sender and the receiver of x, with the channel between them.
_EDGE = 0.08
ANALYSIS, CODE, _DECODE, SYNTHESIS = (0.28, 2.28), (3.52, 0.66), (5.36, 0.66), (6.36, 2.46)
_CHANNEL = 4.3, 5.24  # from, to
_PRIOR = 1.45  # width
_Z_CODER = ["round,", "range", "coder", "(prior_z)"]


class CodecDiagram:
    """The path of x: analysis, prior, channel, synthesis. That is all of a model without side information."""

    aligned = False  # whether the synthesis of x is drawn stage by stage, below

    def __init__(self, found: Architecture, detail: bool):
        self.found, self.blocks, self.detail = found, found.blocks, detail
        self.canvas = Canvas(WIDTH)
        self.hyper = "prior_x.hyper_analysis" in found.blocks
        self.image = size_words((3, *found.size))

    def draw(self) -> Figure:
        end_of_sender = self.path_of_x()
        end = self.side_information(end_of_sender)
        self._regions(end_of_sender, end)
        return self.canvas.finish(self._legend(end + 0.08))

    def side_information(self, top: float) -> float:
        """Draw what the receiver does with y, below `top`; return where it ends."""
        return top

    def path_of_x(self) -> float:
        """Draw the sender, the channel and, where it is one block, the synthesis; return where the sender ends."""
        gain, top = self.found.variable_rate, 0.4
        coder = ["× gain,"] * gain + ["round,", "range", "coder"]
        decoder = ["range", "decoder" + "," * gain] + ["× inverse", "gain"] * gain
        upper, lower = self._prior_height(), self.height("analysis_x", ANALYSIS)
        node = _node_height(coder)
        if self.aligned:
            y = max(0.78 + lower / 2, top + upper + 0.2 + node / 2)
            analysis = self.block("analysis_x", ANALYSIS, max(0.78, y + 0.18 - lower))
        else:
            height = max(lower, node, self.height("synthesis_x", SYNTHESIS))
            y = top + upper + (0.62 if self.hyper else 0.5) + height / 2
            analysis = self.block("analysis_x", ANALYSIS, y - lower / 2)
        code, self.decode = self._node(CODE, y, coder, style.BLUE), self._node(_DECODE, y, decoder, style.GREEN)
        self._image("x", (0.95, analysis.top), inwards=True)
        self.canvas.arrow((analysis.right, y), (code.left, y))
        self.over((analysis.right + code.left) / 2 - 0.04, y, _H, "analysis_x")
        self._channel(y, H_HAT, "analysis_x")
        end = max(analysis.bottom, code.bottom)
        if not self.aligned:
            self.synthesis = self.block("synthesis_x", SYNTHESIS, y - self.height("synthesis_x", SYNTHESIS) / 2)
            self.canvas.arrow((self.decode.right, y), (self.synthesis.left, y))
            self._image("x̂", (8.0, self.synthesis.top))
            end = max(end, self.synthesis.bottom)
        (self._hyperprior if self.hyper else self._factorised_prior)(top, upper, code, self.decode)
        return end + 0.12

    def _prior_height(self) -> float:
        if not self.hyper:
            return self.height("prior_x", (0, _PRIOR))
        blocks = self.height("prior_x.hyper_analysis", ANALYSIS), self.height("prior_x.hyper_synthesis", SYNTHESIS)
        return max(*blocks, _node_height(_Z_CODER))

    def _factorised_prior(self, top: float, height: float, code: Box, decode: Box) -> None:
        at = self.block("prior_x", (code.right - _PRIOR, _PRIOR), top, height)
        again = Box(decode.left, top, _PRIOR, height)
        self.canvas.box(again, "prior_x", ["the same densities"] * self.detail, [], style.GREEN)
        for box, node in ((at, code), (again, decode)):
            x = node.middle[0]
            self.canvas.arrow((x, box.bottom), (x, node.top))

    def _hyperprior(self, top: float, height: float, code: Box, decode: Box) -> None:
        y, turn = top + height / 2, top + height + 0.26
        encoder, decoder = (
            self.block(name, column, y - self.height(name, column) / 2)
            for name, column in (("prior_x.hyper_analysis", ANALYSIS), ("prior_x.hyper_synthesis", SYNTHESIS))
        )
        self.canvas.arrow((2.78, code.middle[1]), (2.78, turn), (2.3, turn), (2.3, encoder.bottom))
        self.canvas.text(2.36, turn + 0.12, "$|h_x|$", SMALL)
        first = self._node(CODE, y, _Z_CODER, style.BLUE)
        second = self._node(_DECODE, y, ["range", "decoder", "(prior_z)"], style.GREEN)
        self.canvas.arrow((encoder.right, y), (first.left, y))
        self.over((encoder.right + first.left) / 2 - 0.04, y, "$z$", "prior_x.hyper_analysis")
        self._channel(y, _Z_HAT, "prior_x.hyper_analysis")
        self.canvas.arrow((second.right, y), (decoder.left, y))
        x, start = decode.middle[0], decoder.left + 0.3
        self.canvas.arrow((start, decoder.bottom), (start, turn), (x, turn), (x, decode.top))
        self.canvas.text(x + 0.08, turn + 0.13, "scales σ", SMALL)
        x = code.middle[0]
        self.canvas.arrow((x, turn + 0.07), (x, code.top))
        self.canvas.text(x - 0.15, turn - 0.15, "σ, as at", SMALL, ha="center")
        self.canvas.text(x - 0.15, turn, "the receiver", SMALL, ha="center")

    def _channel(self, y: float, symbol: str, block: str) -> None:
        """What is transmitted, over and below a thick line."""
        start, end = CODE[0] + CODE[1], _DECODE[0]
        self.canvas.arrow((start, y), (end, y), width=4.5, head=False)
        self.over((_CHANNEL[0] + _CHANNEL[1]) / 2, y, symbol, block, width=_CHANNEL[1] - _CHANNEL[0] - 0.06)

    def over(self, x: float, y: float, symbol: str, block: str, width: float = 0.84) -> None:
        """A tensor over an arrow, its size below."""
        self.canvas.text(x, y - 0.15, symbol, 11, ha="center")
        self.canvas.text(x, y + 0.15, size_words(self.blocks[block].output), SMALL, width, ha="center")

    def beside(self, x: float, y: float, symbol: str, block: str, left: bool = False) -> None:
        """A tensor and its size to the right of an arrow, or to the left."""
        side, x = ("right", x - 0.09) if left else ("left", x + 0.09)
        self.canvas.text(x, y - 0.1, symbol, 11, ha=side)
        self.canvas.text(x, y + 0.1, size_words(self.blocks[block].output), SMALL, 0.9, ha=side)

    def _node(self, column: tuple[float, float], y: float, words: Sequence[str], colour: str) -> Box:
        height = _node_height(words)
        return self.canvas.node(Box(column[0], y - height / 2, column[1], height), words, colour)

    def _image(self, symbol: str, at: tuple[float, float], inwards: bool = False, below: bool = False) -> None:
        """The image that enters or leaves a block at a point of its top, or of its bottom."""
        (x, y), side = at, 1 if below else -1
        ends = (x, y), (x, y + side * 0.24)
        self.canvas.arrow(*(ends[::-1] if inwards else ends))
        self.canvas.text(x, y + side * 0.33, f"{symbol}  {self.image}", TEXT, ha="center")

    def lines(self, name: str, width: float) -> list[str]:
        """What a block lists."""
        if not self.detail:
            return []
        words = wrapped(block_words(self.blocks[name]), width)
        return words if ".stage" in name else [*words, parameter_words(self.blocks[name].parameters)]

    def height(self, name: str, column: tuple[float, float]) -> float:
        return box_height(len(self.lines(name, column[1])))

    def block(
        self,
        name: str,
        column: tuple[float, float],
        top: float,
        height: float | None = None,
        title: str = "",
        lines: Sequence[str] | None = None,
    ) -> Box:
        """Draw a block below `top`."""
        block, (left, width) = self.blocks[name], column
        lines = self.lines(name, width) if lines is None else lines
        colour = style.BLUE if name in ("analysis_x", "prior_x", "prior_x.hyper_analysis") else style.GREEN
        look = dict(colour=colour) if block.codes else dict(colour=style.DARK_GREY, dashed=True)
        tags = [TAGS[term][0] for term in block.terms] if self.detail else []
        at = Box(left, top, width, height or box_height(len(lines)))
        return self.canvas.box(at, title or name, lines, tags, **look)

    def _regions(self, sender: float, receiver: float) -> None:
        """Sender and receiver, which end here."""
        (start, end), top, right = _CHANNEL, 0.08, WIDTH - _EDGE
        corners = [(_EDGE, top), (start, top), (start, sender), (_EDGE, sender)]
        self.canvas.region(corners, "SENDER", style.BLUE, (0.2, 0.22))
        corners = [(end, top), (right, top), (right, receiver), (end, receiver)]
        if receiver > sender:
            corners = [*corners[:3], (_EDGE, receiver), (_EDGE, sender + 0.12), (end, sender + 0.12)]
        self.canvas.region(corners, "RECEIVER", style.GREEN, (end + 0.12, 0.22))
        self.canvas.text((start + end) / 2, 0.22, "CHANNEL", SMALL, ha="center", weight="bold", color=style.DARK_GREY)

    def _legend(self, top: float) -> float:
        """Draw it; return where it ends."""
        notes = [
            "conv 5×5, 64, ↓2: kernel, output channels, stride (↑2: twice as large). Sizes: channels × height × width."
        ]
        tags = [TAGS[term] for term in self.found.terms]
        if not self.detail:
            tags, notes = [], []
        if any(not block.codes for block in self.blocks.values()):
            weights = ", not trained if α = β = 0" if self.detail else ""
            notes.insert(0, f"Dashed: only for the terms of y and w in the loss{weights}; not needed to decode.")
        return self.canvas.legend(0.2, top, WIDTH - 0.2, tags, notes) if tags or notes else top


def _node_height(words: Sequence[str]) -> float:
    return 0.12 + 0.16 * len(words)
