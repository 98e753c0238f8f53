"""What each step of a training sees: which pairs, mirrored or not, at which rates. All of it follows from the seed."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import BatchSampler, DistributedSampler

from ndic_core.config import Config
from ndic_core.data.pairs import Pairs
from ndic_core.guidance import guidance_weight


class Batch(NamedTuple):
    """One process's share of a step.

    Attributes:
        x, y: images, (B, 3, H, W) in [0, 1].
        rates: (B,) from 0 to below 1, on the CPU: where in the range of a variable-rate model each image is trained.
        guidance: weight of the loss that guides attention.
        disparity: (B, H, W), for that loss, see `Pairs`; None where the weight is 0.
    """

    x: Tensor
    y: Tensor
    rates: Tensor
    guidance: float
    disparity: Tensor | None


class Batches:
    """The steps of every epoch.

    Args:
        pairs: to train on; with `guidance`, pairs that know their disparity.
        config: of the experiment.
        fabric: what it runs on; its processes share every batch.
    """

    def __init__(self, pairs: Pairs, config: Config, fabric: Fabric):
        self.pairs, self.config, self.fabric = pairs, config, fabric

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self._sampler(0))

    def of_epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The steps of an epoch from `start` on."""
        rng = np.random.default_rng([self.config.seed, epoch])
        flips = torch.from_numpy(rng.random(len(self.pairs)) < 0.5)
        rates = torch.from_numpy(rng.random(len(self.pairs)))
        for step, chosen in enumerate(self._sampler(epoch)):
            if step < start:
                continue
            x, y = (images.to(self.fabric.device) for images in self.pairs.batch(chosen))
            flip = flips[chosen].to(x.device)[:, None, None]
            x, y = (torch.where(flip[..., None], images.flip(-1), images) for images in (x, y))
            guidance, disparity = guidance_weight(self.config, (epoch + step / len(self)) / self.config.epochs), None
            if guidance:
                disparity = self.pairs.truth(chosen).to(x.device)
                disparity = torch.where(flip, -disparity.flip(-1), disparity)  # mirrored, y's things lie to the right
            yield Batch(x, y, rates[chosen], guidance, disparity)

    def _sampler(self, epoch: int) -> BatchSampler:
        """Gives the indices of this process's share of every batch."""
        world = self.fabric.world_size
        sampler = DistributedSampler(self.pairs, world, self.fabric.global_rank, seed=self.config.seed)
        sampler.set_epoch(epoch)
        return BatchSampler(sampler, self.config.train_batch_size // world, drop_last=False)
