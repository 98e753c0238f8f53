"""One picture sent through a model and measured: at a given lambda, or at the one where two models can be compared."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from torch import Tensor

from ndic_core.errors import NDICError
from ndic_core.evaluation.evaluate import quality
from ndic_core.metrics import MS_SSIM_SMALLEST, measured_bpp
from ndic_core.models.codec import Codec
from ndic_core.models.coding.compress import decode, encode
from ndic_core.models.coding.state import LEVELS

_COLUMNS = {
    "model": ("model", "{}"),
    "y": ("decoded with", "{}"),
    "lmbda": ("lambda", "{:.2e}"),
    "bytes": ("bytes", "{}"),
    "bpp": ("bpp measured", "{:.3f}"),
    "psnr": ("PSNR dB", "{:.2f}"),
    "ms_ssim": ("MS-SSIM", "{:.4f}"),
    "ms_ssim_db": ("MS-SSIM dB", "{:.2f}"),
}


def roundtrip(model: Codec, x: Tensor, y: Tensor | None = None, lmbda: float | None = None) -> dict:
    """Encode a picture into a file's bytes, decode it from them, and measure both.

    Args:
        model: with trained weights.
        x: (3, H, W) in [0, 1], the picture to send.
        y: the side image, likewise; models without side information ignore it.
        lmbda: the rate of variable-rate weights; see `encode`.

    Returns:
        model (its name), lmbda (of the rate level that was taken), bytes (of the whole file), bpp (measured: from these
        bytes), psnr (dB), ms_ssim, ms_ssim_db (both None below 97 pixels), x_hat (3, H, W) on the CPU. A row for
        `plotting.rate_distortion`, too.

    Raises:
        NDICError: see `encode` and `decode`.

    Example:
        >>> import torch
        >>> import ndic_core as ndic
        >>> x, y = torch.rand(2, 3, 128, 256)
        >>> sent = send(ndic.build_model("ndic_bls17", num_filters=4), x, y)
        >>> sent["bpp"] == 8 * sent["bytes"] / (128 * 256)
        True
    """
    stream = encode(model, x, lmbda)
    x_hat = decode(model, stream, y).cpu()
    rate = dict(lmbda=model.lmbda_at(model.level(lmbda)), bytes=len(stream), bpp=measured_bpp(stream, x[0].numel()))
    return dict(model=model.name, **rate, **quality(x.cpu(), x_hat), x_hat=x_hat)


def roundtrip_at(model: Codec, x: Tensor, y: Tensor | None, key: str, target: float) -> dict:
    """Send a picture at the rate where one of the measured numbers comes nearest to a target.

    So that models are compared at equal bytes, or at equal quality. The search halves the 256 rate levels that a file
    can name, as the numbers rise with lambda.

    Args:
        model: with variable-rate weights.
        x, y: see `roundtrip`.
        key: "bytes", "bpp", "psnr" or "ms_ssim_db".
        target: what it should be.

    Returns:
        See `roundtrip`.

    Raises:
        NDICError: another key, weights of one rate, a target that they don't reach, or MS-SSIM below 97 pixels.
    """
    if key not in ("bytes", "bpp", "psnr", "ms_ssim_db"):
        raise NDICError(f"the number to reach is bytes, bpp, psnr or ms_ssim_db, not {key!r}")
    if model.gain is None:
        raise NDICError(f"these weights of {model.name} have one rate: there is none to search for")
    if key == "ms_ssim_db" and min(x.shape[-2:]) < MS_SSIM_SMALLEST:
        size = " × ".join(map(str, x.shape[-2:]))
        raise NDICError(f"MS-SSIM needs both sides above {MS_SSIM_SMALLEST - 1} pixels, not {size}: search for psnr")
    tried: dict[int, float] = {}

    def measured(level: int) -> float:
        if level not in tried:
            lmbda = model.lmbda_at(level)
            if key in ("bytes", "bpp"):  # nothing need be decoded
                size = len(encode(model, x, lmbda))
                tried[level] = size if key == "bytes" else 8 * size / x[0].numel()
            else:
                tried[level] = roundtrip(model, x, y, lmbda)[key]
        return tried[level]

    low, high = measured(0), measured(LEVELS)
    if not low <= target <= high:
        raise NDICError(f"{model.name} sends this picture with {key} from {low:.4g} to {high:.4g}, not {target:.4g}")
    bisect_left(range(LEVELS + 1), target, key=measured)  # tries the levels on both sides of the target
    nearest = min(tried, key=lambda level: abs(tried[level] - target))
    return roundtrip(model, x, y, model.lmbda_at(nearest))


def table(rows: Sequence[Mapping], *keys: str) -> str:
    """Rows of `roundtrip` as aligned lines of text, each column with its unit.

    Args:
        rows: with the same keys each; beside those of `roundtrip`, "y" may tell in words what was decoded with.
        keys: the columns, all known ones that the first row has where none is given.

    Raises:
        NDICError: no row, or a column that isn't known or not there.

    Example:
        >>> print(table([dict(model="bls17", bytes=812, psnr=24.5), dict(model="bmshj18", bytes=99, psnr=7)]))
        model    bytes  PSNR dB
        bls17      812    24.50
        bmshj18     99     7.00
    """
    if not rows:
        raise NDICError("there is no row to print")
    keys = keys or tuple(key for key in _COLUMNS if rows[0].get(key) is not None)
    if wrong := [key for key in keys if key not in _COLUMNS or any(row.get(key) is None for row in rows)]:
        raise NDICError(f"no column {wrong[0]!r}: choose from those of all rows, {', '.join(_COLUMNS)}")
    lines = [[_COLUMNS[key][0] for key in keys]]
    lines += [[_COLUMNS[key][1].format(row[key]) for key in keys] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    words = [isinstance(rows[0][key], str) for key in keys]  # words to the left, numbers to the right
    aligned = [
        "  ".join(
            f"{cell:{'<' if word else '>'}{width}}" for cell, width, word in zip(line, widths, words, strict=True)
        )
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in aligned)
