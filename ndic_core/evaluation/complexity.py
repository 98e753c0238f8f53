"""Complexity of sender and receiver for one image: multiply–accumulates and time, part by part.

    sender     x ── analysis of x ── (hyper-analysis, scales) ── coder ══ file
    receiver   file ── coder ── (scales) ── analyses of y ── alignment ── synthesis ── x̂

The parts are networks. The range coder has a negligible number of MACs; its time is part of the rest.
"""

import copy
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ndic_core.catalogue import DOWNSAMPLING
from ndic_core.errors import NDICError
from ndic_core.models.codec import Codec, unwrap
from ndic_core.models.coding.compress import decode, encode, padded_layout
from ndic_core.models.entropy_models import ScaleHyperprior

PARTS = {  # module of a model: name of the part
    "analysis_x": "analysis of x",
    "prior_x.hyper_analysis": "hyper-analysis",
    "prior_x.hyper_synthesis": "scales",
    "analysis_w": "common information of y",
    "analysis_y": "analysis of y",
    "synthesis_y": "synthesis of y's features",
    "pyramid_y": "features of y",
    "cams": "alignment",
    "synthesis_x": "synthesis of x",
    "retouch": "retouch with y",
}
REST = "coder and the rest"  # measured seconds outside of all parts
SIDES = ("sender", "receiver")


def count_macs(model: Codec, height: int, width: int) -> list[dict]:
    """Multiply–accumulates (MACs) for one image, counted on the meta device: nothing is computed.

    Counted are convolutions, matrix products and the sums of GDN, as half the operations of
    `torch.utils.flop_counter.FlopCounterMode`; not counted are roots, additions, the range coder, and the products of
    shifted features in `parallax_attention` (less than 1 % of its MACs).

    Args:
        model: any of `ndic_core.MODELS`, trained or not.
        height, width: of the image, in pixels; it is padded or tiled as in `encode`.

    Returns:
        A row per side and part that it runs: model, side ("sender" or "receiver"), part, gmac (1e9 MACs), parameters
        (of the layers that are run).

    Raises:
        NDICError: height or width is not a positive whole number, or there are more pixels than `encode` accepts.

    Example:
        >>> import ndic_core as ndic
        >>> rows = count_macs(ndic.build_model("ndic_bls17", num_filters=8), 128, 256)
        >>> [(row["side"], row["part"]) for row in rows]  # doctest: +NORMALIZE_WHITESPACE
        [('sender', 'analysis of x'), ('receiver', 'common information of y'), ('receiver', 'synthesis of x')]
    """
    if not all(isinstance(side, Integral) and side > 0 for side in (height, width)):
        raise NDICError(f"height and width are positive whole numbers of pixels, not {height!r} and {width!r}")
    model = unwrap(model, with_values=False)
    tiling = padded_layout(model, height, width)
    shapes = copy.deepcopy(model).eval().requires_grad_(False).to("meta", torch.float32)
    image = torch.empty(1, 3, *tiling.tile, device="meta")
    latent = torch.empty(1, model.config["num_filters"], *(n // DOWNSAMPLING for n in tiling.tile), device="meta")
    rows = []
    # FlopCounterMode does not see into fused attention on the meta device: the math backend has the same products.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        for side, run in zip(SIDES, (_send, _receive), strict=True):
            with FlopCounterMode(display=False) as counter, _watched(shapes, counter.get_total_flops) as (spent, ran):
                run(shapes, image, latent)
            for part, flops in spent.items():
                gmac = tiling.rows * tiling.columns * flops / 2e9
                parameters = sum(p.numel() for module in ran[part] for p in module.parameters())
                rows.append(dict(model=model.name, side=side, part=part, gmac=gmac, parameters=parameters))
    return rows


def seconds(
    model: Codec, x: Tensor, y: Tensor | None = None, lmbda: float | None = None, repeat: int = 5
) -> list[dict]:
    """Median time of `encode` and `decode` on this machine under its present load, part by part.

    Args:
        model: with weights that code `x`.
        x: (3, H, W) in [0, 1], the image to encode.
        y: the side image, likewise; models without side information ignore it.
        lmbda: the rate; see `encode`.
        repeat: number of timed runs, after one warm-up.

    Returns:
        A row per side and part: model, side, part, seconds. Time outside of the parts (the range coder, scales in
        integers, checks) is the row `REST`.

    Raises:
        NDICError: `repeat` is not a whole number of 1 or more; see also `encode` and `decode`.
    """
    if not isinstance(repeat, Integral) or repeat < 1:
        raise NDICError(f"repeat must be 1 or more, not {repeat!r}")
    model = unwrap(model)
    stream = encode(model, x, lmbda)
    rows = []
    for side, run in (("sender", lambda: encode(model, x, lmbda)), ("receiver", lambda: decode(model, stream, y))):
        run()  # warm-up: tables, buffers and threads
        times = []
        for _ in range(repeat):
            with _watched(model, lambda: _clock(model)) as (spent, _):
                start = _clock(model)
                run()
                whole = _clock(model) - start
            times.append({**spent, REST: whole - sum(spent.values())})
        for part in times[0]:
            median = statistics.median(run[part] for run in times)
            rows.append(dict(model=model.name, side=side, part=part, seconds=median))
    return rows


def _send(model: Codec, x: Tensor, _: Tensor) -> None:
    h = model.analyse(x)
    if isinstance(model.prior_x, ScaleHyperprior):
        model.prior_x.hyper_synthesis(model.prior_x.hyper_analysis(h.abs()))


def _receive(model: Codec, y: Tensor, latent: Tensor) -> None:
    if isinstance(model.prior_x, ScaleHyperprior):
        model.prior_x.hyper_synthesis(latent[:, :, ::4, ::4])
    model.reconstruct(latent, y)


@contextmanager
def _watched(model: nn.Module, clock: Callable[[], float]):
    """The increase of a clock (or counter) within each part of a model, and the layers of each part that were run."""
    spent, ran, started, hooks = defaultdict(float), defaultdict(set), {}, []

    def before(module, _):
        started[module] = clock()

    def after(part):
        def stop(module, *_):
            spent[part] += clock() - started[module]
            ran[part].add(module)

        return stop

    for name, part in PARTS.items():
        try:
            layers = model.get_submodule(name).children()  # not the part itself: a synthesis may be run stage by stage
        except AttributeError:
            continue
        for layer in layers:
            hooks += [layer.register_forward_pre_hook(before), layer.register_forward_hook(after(part))]
    try:
        yield spent, ran
    finally:
        for hook in hooks:
            hook.remove()


def _clock(model: Codec) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
