"""The optimizers that a configuration names."""

from collections.abc import Iterable

import torch
from torch import nn

from ndic_core.config import Config

EIGENBASES_EVERY = 10  # steps between two updates of SOAP's eigenbases, as in its paper


def make_optimizer(config: Config, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of a training, for `config.lr`.

    "adam" is the published one: Adam with AMSGrad (Reddi et al. 2018, arXiv 1904.09237). "soap" is Adam in the
    eigenbases of Shampoo's preconditioners (Vyas et al. 2024, arXiv 2409.11321, algorithm 3), without weight decay. It
    needs a fraction of Adam's steps for these models, and per step somewhat more time; its first step only
    initialises the eigenbases. Parameters without a gradient stay as they are.

    Args:
        config: of the experiment; `optimizer` and `lr` count.
        parameters: of the model.

    Example:
        >>> from ndic_core.config import load_config
        >>> weight = nn.Parameter(torch.zeros(2, 3))
        >>> type(make_optimizer(load_config("teaching"), [weight])).__name__
        'Adam'
    """
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, config.lr, amsgrad=True, fused=True)
    from pytorch_optimizer import SOAP  # several seconds that Adam need not wait for

    # Merging dimensions, an option of the library, fails for GDN's vectors.
    return SOAP(parameters, config.lr, weight_decay=0, precondition_frequency=EIGENBASES_EVERY, merge_dims=False)
