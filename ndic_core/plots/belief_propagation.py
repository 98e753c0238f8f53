"""Belief propagation: factor graph, message rules, decoding pass by pass, and LDPC codes near their threshold."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ndic_core.errors import some
from ndic_core.plots import style
from ndic_core.theory.factor_graph import FactorGraph, Messages

_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def message_rules(
    graph: FactorGraph, syndrome: Sequence[int], channel: Sequence[float], bit: int, check: int
) -> Figure:
    """A small factor graph with its inputs, and one message of each kind with the messages it is computed from.

    Args:
        graph: of at most 26 checks, which are named by letters.
        syndrome: (m,) of 0 and 1.
        channel: (n,) log-likelihood ratios of the bits given y.
        bit: whose message to its last check is shown.
        check: whose message to its middle bit is shown.

    Returns:
        A figure of three panels: the graph, a message from a bit to a check, and one from a check to a bit.
    """
    figure = Figure(figsize=(7.2, 4.9), layout="constrained")
    axes = figure.subplot_mosaic([["graph", "graph"], ["to check", "to bit"]], height_ratios=(1.2, 1))
    axis = axes["graph"]
    for edge in zip(graph.check, graph.bit, strict=True):
        _edge(axis, graph, *edge, style.DARK_GREY)
    _nodes(axis, graph, [f"{_NAMES[c]}: {value}" for c, value in enumerate(syndrome)], range(graph.bits))
    _below(axis, [_signed(value) for value in channel])
    _row_names(axis, "checks,\nparity sent", "bits", "channel\nvalues")
    axis.set_title("factor graph: an edge joins a check to each of its bits")

    axis, centre = axes["to check"], (0.0, 0.0)
    *others, last = np.sort(graph.check[graph.bit == bit])
    places = np.linspace(-1, 1, len(others) + 1)
    for other, place in zip(others, places, strict=False):
        _square(axis, (place, 2), _NAMES[other])
        _arrow(axis, (place, 2), centre, style.BLUE, f"$r_{{{_NAMES[other]}{bit}}}$", "right")
    _square(axis, (places[-1], 2), _NAMES[last])
    _arrow(axis, centre, (places[-1], 2), style.VERMILION, f"$m_{{{bit}{_NAMES[last]}}}$", "left")
    _arrow(axis, (0, -1.5), centre, style.BLUE, f"$\\ell_{{{bit}}}$", "left")
    _circle(axis, centre, bit)
    axis.set_title(f"rule 1: bit {bit} to check {_NAMES[last]}")

    axis, centre = axes["to bit"], (0.0, 2.0)
    bits = np.sort(graph.bit[graph.check == check])
    target = bits[len(bits) // 2]
    for other, place in zip(bits, np.linspace(-1, 1, len(bits)), strict=True):
        _circle(axis, (place, 0), other)
        if other != target:
            side = "right" if place < 0 else "left"
            _arrow(axis, (place, 0), centre, style.BLUE, f"$m_{{{other}{_NAMES[check]}}}$", side)
        else:
            _arrow(axis, centre, (place, 0), style.VERMILION, f"$r_{{{_NAMES[check]}{target}}}$", "left")
    _square(axis, centre, f"{_NAMES[check]}: {syndrome[check]}")
    axis.set_title(f"rule 2: check {_NAMES[check]} to bit {target}")
    for axis in (axes["to check"], axes["to bit"]):
        axis.set(xlim=(-2, 2), ylim=(-1.5, 2.5))
        axis.set_axis_off()
    return figure


def decoding_steps(
    graph: FactorGraph, syndrome: Sequence[int], x: Sequence[int], steps: Mapping[str, Messages]
) -> Figure:
    """A small factor graph at several moments of belief propagation, one below the other.

    Args:
        graph: of at most 26 checks.
        syndrome: (m,) of 0 and 1.
        x: (n,) the word that was sent.
        steps: results of `FactorGraph.run` for this syndrome, by title.

    Returns:
        A figure. A bit shows its decision and below it its belief; wrong bits and violated checks are vermilion. An
        edge shows the message to its bit, vermilion where it contradicts the bit's decision.
    """
    x, rows = np.asarray(x), some(steps.items(), "step")
    figure, axes = style.subplots((7.2, 0.2 + 2.05 * len(rows)), len(rows), squeeze=False)
    for axis, (title, step) in zip(axes.flat, rows, strict=True):
        decision = (step.belief < 0).astype(int)
        right = graph.syndrome(decision[None])[0] == np.asarray(syndrome)
        for check, bit, message in zip(graph.check, graph.bit, step.to_bits, strict=True):
            against = message != 0 and (message < 0) != decision[bit]
            colour = style.VERMILION if against else style.DARK_GREY
            _edge(axis, graph, check, bit, colour, 0.8 + 0.7 * abs(message), _signed(message) if message else "")
        marks = ["✓" if ok else "✗" for ok in right]
        names = [f"{name}: {value} {mark}" for name, value, mark in zip(_NAMES, syndrome, marks, strict=False)]
        colours = [style.GREEN if ok else style.VERMILION for ok in right]
        _nodes(axis, graph, names, decision, colours, [style.BLUE if ok else style.VERMILION for ok in decision == x])
        _below(axis, [_signed(value) for value in step.belief])
        _row_names(axis, "checks", "decisions", "beliefs")
        wrong = int((decision != x).sum())
        axis.set_title(f"{title}: {wrong} wrong {'bit' if wrong == 1 else 'bits'}")
    return figure


def ldpc_thresholds(
    courses: Mapping[float, tuple[Sequence[float], Sequence[float]]],
    flips: Sequence[float],
    failures: Mapping[str, Sequence[float]],
    threshold: float,
    limit: float,
) -> Figure:
    """Bit errors over the passes of belief propagation, and block error rates over the crossover probability.

    Args:
        courses: by crossover probability, up to four: shares of wrong bits after each pass, measured, and by
            density evolution for infinite length.
        flips: crossover probabilities of `failures`.
        failures: by label, up to three: block error rates in [0, 1].
        threshold: of density evolution.
        limit: the Slepian–Wolf limit of this rate.
    """
    colours = (style.GREEN, style.BLUE, style.ORANGE, style.VERMILION)
    figure, (left, right) = style.subplots((9.0, 3.9), columns=2)
    for (p, (measured, infinite)), colour in zip(courses.items(), colours, strict=False):
        left.plot(measured, color=colour, label=f"p = {p:g}")
        left.plot(infinite, color=colour, linestyle=":", linewidth=1.4)
    left.plot([], [], color=style.DARK_GREY, linestyle=":", label="infinite length")
    left.set(xlabel="pass", ylabel="share of wrong bits", ylim=(0, None), xlim=(0, 60))
    left.set_title("share of wrong bits during decoding")
    looks = ((style.SKY, ":o"), (style.BLUE, "--s"), (style.BLACK, "-^"))
    for (label, lost), (colour, look) in zip(failures.items(), looks, strict=False):
        right.plot(flips, lost, look, color=colour, label=label)
    right.axvline(threshold, color=style.VERMILION, linestyle="-.", label=f"threshold {threshold:.3f}")
    right.axvline(limit, color=style.BLACK, linestyle=":", label=f"limit {limit:.3f}")
    right.set(xlabel="crossover probability p", ylabel="block error rate", ylim=(-0.04, 1.04))
    right.set_title("share of blocks that fail")
    for axis in (left, right):
        axis.grid(alpha=0.25)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=9.5, frameon=False)
    return figure


def _check_at(graph: FactorGraph, check: int) -> tuple[float, float]:
    return float(np.linspace(0.5, graph.bits - 1.5, graph.checks)[check]), 2.0


def _edge(axis: Axes, graph: FactorGraph, check: int, bit: int, colour: str, width: float = 1.5, words="") -> None:
    x, y = _check_at(graph, check)
    axis.plot([x, bit], [y, 0], color=colour, linewidth=width, zorder=1)
    if words:
        along = 0.36 if abs(x - bit) < 2 else 0.78  # of a long edge at its other end, where it crosses no other one
        box = dict(boxstyle="round,pad=0.1", facecolor="white", edgecolor="none")
        look = dict(ha="center", va="center", fontsize=9.5, color=colour, bbox=box, zorder=1.5)
        axis.text(bit + along * (x - bit), along * y, words, **look)


def _nodes(axis: Axes, graph: FactorGraph, checks, bits, check_colours=None, bit_colours=None) -> None:
    """Squares with the texts of the checks, and circles with those of the bits."""
    for c, words in enumerate(checks):
        _square(axis, _check_at(graph, c), words, check_colours[c] if check_colours else style.DARK_GREY)
    for i, words in enumerate(bits):
        _circle(axis, (i, 0), words, bit_colours[i] if bit_colours else style.BLUE)
    axis.set(xlim=(-1.3, graph.bits - 0.3), ylim=(-1.05, 2.6))
    axis.set_axis_off()


def _square(axis: Axes, place: tuple[float, float], words: str, colour: str = style.DARK_GREY) -> None:
    box = dict(boxstyle="square,pad=0.35", facecolor=colour, edgecolor="none")
    axis.text(*place, words, color="white", ha="center", va="center", bbox=box, fontsize=11, zorder=3)


def _circle(axis: Axes, place: tuple[float, float], words, colour: str = style.BLUE) -> None:
    axis.plot(*place, "o", markersize=19, color=colour, zorder=3)
    axis.text(*place, str(words), color="white", ha="center", va="center", fontsize=11, zorder=4)


def _below(axis: Axes, words: Sequence[str]) -> None:
    for i, text in enumerate(words):
        axis.text(i, -0.8, text, ha="center", va="center", fontsize=11)


def _row_names(axis: Axes, checks: str, bits: str, below: str) -> None:
    for height, words in ((2.0, checks), (0.0, bits), (-0.8, below)):
        axis.text(-1.3, height, words, ha="left", va="center", fontsize=10.5, color=style.DARK_GREY)


def _signed(value: float) -> str:
    return style.number(value, "+.1f").replace("-", "−")


def _arrow(axis: Axes, start: tuple, end: tuple, colour: str, words: str, side: str) -> None:
    """An arrow between nodes with a label beside it; `side` is the side of the label that touches the arrow."""
    look = dict(arrowstyle="-|>", color=colour, linewidth=2.2, mutation_scale=16, shrinkA=12, shrinkB=13)
    axis.annotate("", end, start, arrowprops=look, zorder=2)
    offset = (-7, 0) if side == "right" else (7, 0)
    look = dict(textcoords="offset points", ha=side, va="center", color=colour, fontsize=13)
    axis.annotate(words, np.add(start, end) / 2, xytext=offset, **look)
