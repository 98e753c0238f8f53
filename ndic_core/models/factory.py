"""Construction of models by name."""

import torch
from pydantic import ValidationError

from ndic_core.catalogue import model_info
from ndic_core.errors import NDICError, explain

_SMALL = {"num_filters": 32, "embed_dim": 64, "heads": 4, "head_dim": 32}  # as in the preset "teaching"


def build_model(name: str, num_filters: int = 192, image_size: tuple[int, int] = (128, 256), **options):
    """A model with fresh weights.

    Args:
        name: one of `ndic_core.MODELS`.
        num_filters: channels of every layer and of the latent, 1 to 4096.
        image_size: height and width that `cross_attention` is built for; the others take many sizes and ignore it.
        options: `lmbda` of any model, a number, or a pair (lowest, highest) for a variable-rate model; and the model's
            own, see `ndic_core.catalogue`: of `cross_attention` `embed_dim`, `heads`, `head_dim`, `patch_grid`,
            `dropout`, of `parallax_attention` `search_range`, `search_rows`, `robust`.

    Returns:
        A `ndic_core.models.codec.Codec`, in training mode, on the CPU.

    Raises:
        NDICError: an unknown name or option, or a value out of range.

    Example:
        >>> model = build_model("cross_attention", num_filters=8, image_size=(64, 64), embed_dim=16, heads=2)
        >>> model.transmitted, model.config["image_size"]
        (('x',), (64, 64))
    """
    info = model_info(name)
    given = {("lambda" if key == "lmbda" else key): value for key, value in options.items()}
    try:
        checked = info.options.model_validate({"num_filters": num_filters, **given})
    except ValidationError as error:
        raise NDICError(f"{name}: {explain(error, info.options)}") from None
    arguments = checked.model_dump()
    if isinstance(checked.lmbda, list):
        arguments["lmbda"] = tuple(checked.lmbda)
    if info.fixed_size:
        arguments["image_size"] = image_size
    return info.load_class()(**arguments)


def untrained_model(name: str):
    """A small model that codes, but badly: its weights are random, from a fixed seed, the same on every machine."""
    size = {key: value for key, value in _SMALL.items() if key in model_info(name).options.model_fields}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(name, **size).eval()
    with torch.no_grad():  # fresh weights' latents all round to zero; spread over a few integers they test the coder
        model.analysis_x[-1].weight.mul_(50)
    return model
