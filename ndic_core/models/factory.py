"""From a model's name to the model."""

import inspect
import math

from ndic_core.catalogue import CATALOGUE, MODELS
from ndic_core.errors import NDICError


def build_model(name: str, num_filters: int = 192, image_size: tuple[int, int] = (128, 256), **options):
    """A model with fresh weights.

    Args:
        name: one of `ndic_core.MODELS`.
        num_filters: channels of every layer and of the latent, 1 or more.
        image_size: height and width that `cross_attention` is built for; the others take many sizes and ignore it.
        options: `lmbda` of any model, a number, or a pair (lowest, highest) for one model of all rates between; and the
            attention's size: of `cross_attention` `embed_dim`, `heads`, `head_dim`, `patch_grid`, `dropout`, of
            `parallax_attention` `search_range`, `search_rows`, `robust`.

    Returns:
        A `ndic_core.models.codec.Codec`, in training mode, on the CPU.

    Raises:
        NDICError: an unknown name or option, or a value out of range.

    Example:
        >>> model = build_model("cross_attention", num_filters=8, image_size=(64, 64), embed_dim=16, heads=2)
        >>> model.transmitted, model.config["image_size"]
        (('x',), (64, 64))
    """
    if name not in MODELS:
        raise NDICError(f"unknown model {name!r}: choose one of {', '.join(MODELS)}")
    cls = CATALOGUE[name].load_class()
    accepted = set(inspect.signature(cls).parameters)
    if "image_size" in accepted:
        options["image_size"] = tuple(image_size) if isinstance(image_size, (list, tuple)) else (image_size,)
    for option in options:
        if option not in accepted:
            raise NDICError(f"{name} has no option {option!r}: it takes {', '.join(sorted(accepted))}")
    if isinstance(options.get("lmbda"), list):
        options["lmbda"] = tuple(options["lmbda"])
    _check_values(name, {"num_filters": num_filters, **options})
    return cls(num_filters=num_filters, **options)


def untrained_model(name: str):
    """A small model with weights drawn from a fixed seed, the same on every machine: pictures look bad, files decode.

    Args:
        name: one of `ndic_core.MODELS`; its size is that of the preset "teaching".

    Returns:
        The model in evaluation mode, ready to code.
    """
    import torch

    from ndic_core.config import load_config

    if name not in MODELS:
        raise NDICError(f"unknown model {name!r}: choose one of {', '.join(MODELS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(**load_config("teaching", model=name).model_arguments()).eval()
    with torch.no_grad():  # fresh weights' latents all round to zero; spread over a few integers they test the coder
        model.analysis_x[-1].weight.mul_(50)
    return model


def _check_values(name: str, options: dict) -> None:
    for key, value in options.items():
        if key == "image_size":
            if len(value) != 2 or not all(_is_whole(side) for side in value):
                raise NDICError(f"image_size must be two whole numbers, (height, width); got {value!r}")
        elif key == "dropout":
            if not _is_number(value) or not 0 <= value < 1:
                raise NDICError(f"dropout must be a number in [0, 1); got {value!r}")
        elif key == "lmbda":
            values = value if isinstance(value, tuple) and len(value) == 2 else (value,)
            if not all(_is_number(v) and v > 0 for v in values) or (len(values) == 2 and values[0] >= values[1]):
                raise NDICError(f"lmbda must be a positive number, or two, lowest and highest; got {value!r}")
        elif key == "robust":
            if not isinstance(value, bool):
                raise NDICError(f"robust must be True or False; got {value!r}")
        elif key in ("search_range", "search_rows"):
            if not _is_whole(value, least=0):
                raise NDICError(f"{key} must be a whole number of pixels, 0 or more; got {value!r}")
            if value > 4096:
                raise NDICError(f"{key} is {value} pixels; 4096 is the most, as wide as the largest square picture")
        elif not _is_whole(value) and not (key == "head_dim" and value is None and name == "cross_attention"):
            raise NDICError(f"{key} must be a whole number of at least 1; got {value!r}")


def _is_whole(value, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
