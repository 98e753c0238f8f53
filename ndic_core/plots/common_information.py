"""Common information w: reconstructions from exchanged parts, channels of w, and the loss weights alpha and beta."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ndic_core.errors import NDICError, some, whole_number
from ndic_core.plots import style

_DPI = 100
_WIDTH = 256  # pixels of a cell, at least: smaller images are shown with n × n dots for each pixel
_GAP, _LINE, _SIDE = 8, 22, 28  # pixels: between images, of a line of text, of the rows' labels
_LETTERS, _WIDE = 10.5, 830  # points, and pixels of a figure above which lines and letters grow in proportion


def image_table(
    images: Sequence[Sequence[Tensor | None]],
    columns: Sequence[str],
    rows: Sequence[str] | None = None,
    notes: Sequence[Sequence[str]] | None = None,
    cell_width: int = _WIDTH,
) -> Figure:
    """Images in rows and columns with labels, each pixel shown as n × n dots.

    Args:
        images: rows of images (3, H, W) in [0, 1], all of one size; None leaves a cell empty.
        columns, rows: labels above the columns and, from bottom to top, beside the rows. None: the rows have no labels.
        notes: one line below each image, in rows as `images`, where a row may be empty; None: no notes.
        cell_width: pixels; a smaller image is shown with as many dots for each pixel as fit, one at least.

    Raises:
        NDICError: there is no image, their sizes differ, the numbers of rows, columns and labels differ, or the width
            is no whole number above 0.
    """
    images = [list(row) for row in some(images)]
    notes = [[]] * len(images) if notes is None else notes
    _check_rows("images", images, len(images), (len(columns),))
    _check_rows("notes", notes, len(images), (len(columns), 0))
    if rows is not None and len(rows) != len(images):
        raise NDICError(f"each row has a label: give {len(images)} rows, not {len(rows)}")
    named = {f"row {i}, column {j}": cell for i, row in enumerate(images) for j, cell in enumerate(row)}
    cells = style.images(**named)
    first = next((cell for cell in cells if cell is not None), None)
    if first is None:
        raise NDICError("there is no image in this table: give one at least")
    zoom = max(1, whole_number(cell_width, "cell_width") // first.shape[2])
    tall, wide = zoom * first.shape[1], zoom * first.shape[2]
    side = 0 if rows is None else _SIDE
    width = side + len(columns) * (wide + _GAP)
    size = max(1.0, width / _WIDE)
    line, look = round(size * _LINE), dict(fontsize=size * _LETTERS)
    height = line + sum(tall + (line if row else 0) + _GAP for row in notes)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, layout="none")
    top = line
    for i in range(len(images)):
        for j, words in enumerate(columns):
            left = side + j * (wide + _GAP)
            cell = cells[i * len(columns) + j]
            if cell is not None:
                box = (left / width, 1 - (top + tall) / height, wide / width, tall / height)
                style.show_image(figure.add_axes(box), cell)
            if i == 0:
                _text(figure, left + wide / 2, line / 2, words, **look)
            if notes[i]:
                _text(figure, left + wide / 2, top + tall + line / 2, notes[i][j], **look)
        if rows is not None:
            _text(figure, side / 2, top + tall / 2, rows[i], rotation=90, **look)
        top += tall + (line if notes[i] else 0) + _GAP
    return figure


def channel_maps(w: Tensor, x_hat: Tensor, without: Mapping[int, Tensor]) -> Figure:
    """Channels of w above the change that the spatial detail of each makes in the reconstruction.

    Args:
        w: (N, h, w).
        x_hat: (3, H, W) in [0, 1], the reconstruction with all of w; H and W are multiples of h and w.
        without: the reconstruction with one channel replaced by its mean, by the channel's number.

    Returns:
        A figure of two rows. Above: red where the channel is above its mean, blue below, each channel on its own scale.
        Below: the change around grey, amplified equally for all channels.

    Raises:
        NDICError: there is no channel, one that w lacks, or an image of another size.
    """
    w = style.values(w)
    given = {f"channel {whole_number(number, 'channel', 0, len(w) - 1)}": one for number, one in without.items()}
    x_hat, *others = style.images(x_hat=x_hat, **dict(some(given.items(), "channel")))
    changes = [x_hat - other for other in others]
    full = max(max(change.abs().max().item() for change in changes), 1 / 255)
    shown = [(0.5 + change / (2 * full)).clamp(0, 1) for change in changes]
    maps = [_diverging(w[number], x_hat.shape[1] // w.shape[1]) for number in without]
    return image_table([maps, shown], list(given), ["w", f"change × {0.5 / full:.0f}"])


def loss_weights(rows: Sequence[Mapping]) -> Figure:
    """The effect of the loss weights alpha and beta on w, of models trained equally otherwise.

    Args:
        rows: those of `ndic_bls17` in `benchmarks/results/common_information.csv`, numbers as numbers; one marker for
            each, so that several seeds are above each other.

    Returns:
        A figure of three panels over the pairs (alpha, beta): the loss of PSNR with a mismatched y; the rate of w in
        the loss (only where beta is above 0: elsewhere its prior is not trained) and the capacity of its noisy
        channel; and the gain of PSNR from w, as it is and rounded.

    Raises:
        NDICError: there is no row, or there are rows of another model.
    """
    rows = some(rows)
    if any(row.get("model", "ndic_bls17") != "ndic_bls17" for row in rows):
        raise NDICError("alpha and beta are loss weights of ndic_bls17: leave out the rows of other models")
    pairs = sorted({(row["alpha"], row["beta"]) for row in rows})
    figure, (drop, rate, gain) = style.subplots((9.4, 3.6), columns=3, dpi=_DPI)

    def marks(axis: Axes, key: str, less: str | None, words: str, colour: str, marker: str, shift: float) -> None:
        chosen = [row for row in rows if key != "bpp_w" or row["beta"] > 0]
        points = [
            (pairs.index((row["alpha"], row["beta"])) + shift, row[key] - (row[less] if less else 0)) for row in chosen
        ]
        look = dict(color=colour, marker=marker, markersize=7, alpha=0.75, linestyle="none")
        if points:
            axis.plot(*zip(*points, strict=True), label=words, **look)

    marks(drop, "psnr_matching_y", "psnr_mismatched_y", "ndic_bls17", *style.MODEL_STYLE["ndic_bls17"], 0.0)
    marks(rate, "w_capacity", None, "capacity", style.PURPLE, "D", 0.0)
    marks(rate, "bpp_w", None, "rate in the loss", style.GREEN, "o", 0.0)
    marks(gain, "psnr_matching_y", "psnr_zero_w", "w as it is", style.BLUE, "o", -0.1)
    marks(gain, "psnr_rounded_w", "psnr_zero_w", "w rounded", style.VERMILION, "s", 0.1)
    titles = {
        drop: ("PSNR lost with a mismatched y", "dB"),
        rate: ("rate of w", "bits per pixel"),
        gain: ("PSNR gained from w", "dB"),
    }
    for axis, (title, unit) in titles.items():
        style.label(axis, title, "α, β", unit, grid=True)
        axis.set_xticks(range(len(pairs)), [f"{alpha:g}, {beta:g}" for alpha, beta in pairs])
        axis.set_xlim(-0.5, len(pairs) - 0.5)
        low, high = axis.get_ylim()
        axis.set_ylim(min(0, low), max(0, high))
        if axis is not drop:
            axis.legend(fontsize=9, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=2)
    return figure


def _check_rows(name: str, lists: Sequence[Sequence], count: int, lengths: Sequence[int]) -> None:
    """Raise `NDICError` unless there are `count` rows, each of one of these lengths."""
    if len(lists) != count or any(len(row) not in lengths for row in lists):
        found = f"{len(lists)} rows of {', '.join(str(len(row)) for row in lists)}"
        raise NDICError(f"{name} must have {count} rows of {lengths[0]}, one for each column label, not {found}")


def _text(figure: Figure, x: float, y: float, words: str, **look) -> None:
    """Centred text at a position in pixels from the upper left corner."""
    width, height = figure.get_size_inches() * _DPI
    figure.text(x / width, 1 - y / height, words, ha="center", va="center", **look)


def _diverging(channel: Tensor, zoom: int) -> Tensor:
    """A map (h, w) as an image (3, zoom · h, zoom · w): white at its mean, red above, blue below."""
    values = channel - channel.mean()
    scaled = 0.5 + values / (2 * max(values.abs().max().item(), 1e-6))
    rgb = torch.from_numpy(colormaps["RdBu_r"](scaled.numpy())[..., :3]).permute(2, 0, 1)
    return rgb.float().repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)
