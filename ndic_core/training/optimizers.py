"""Optimizers (Adam with AMSGrad, as published, and SOAP) and the moving average of the weights."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

EIGENBASES_EVERY = 10  # steps between two updates of SOAP's eigenbases, as in its paper


def make_optimizer(name: str, parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """Build an optimizer.

    "adam" is the published one: Adam with AMSGrad (Reddi et al. 2018, arXiv 1904.09237). "soap" is Adam in the
    eigenbases of Shampoo's preconditioners (Vyas et al. 2024, arXiv 2409.11321, algorithm 3), without weight decay. It
    needs a fraction of Adam's steps for these models, and somewhat more time per step; its first step only
    initialises the eigenbases. Parameters without a gradient stay as they are.

    Example:
        >>> type(make_optimizer("adam", [nn.Parameter(torch.zeros(2, 3))], lr=0.001)).__name__
        'Adam'
    """
    if name == "adam":
        return torch.optim.Adam(parameters, lr, amsgrad=True, fused=True)
    from pytorch_optimizer import SOAP  # importing it takes several seconds

    # Merging dimensions, an option of the library, fails for GDN's vectors.
    return SOAP(parameters, lr, weight_decay=0, precondition_frequency=EIGENBASES_EVERY, merge_dims=False)


@torch.no_grad()
def update_average(average: AveragedModel, model: nn.Module, decay: float) -> None:
    """Like `AveragedModel.update_parameters`, which would copy the number of updates to a GPU and wait for it."""
    if average.n_averaged == 0:
        average.update_parameters(model)
        return
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    average.n_averaged += 1
