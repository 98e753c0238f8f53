"""What each step of a training sees: which pairs, mirrored or not, at which rates. All of it follows from the seed."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import BatchSampler, DistributedSampler

from ndic_core.config import Config
from ndic_core.data.mixed import MixedPairs
from ndic_core.data.pairs import Pairs
from ndic_core.training.matching_loss import guidance_weight

DECEIVED = 0.05  # of a robust model's training: the share of images with another scene's y, and that of steps without y


class Batch(NamedTuple):
    """One process's share of a step.

    Attributes:
        x, y: images, (B, 3, H, W) in [0, 1]; y is None in a step that does without.
        rates: (B,) from 0 to below 1, on the CPU: where in the range of a variable-rate model each image is trained.
        matching_loss_weight: weight of the loss that guides attention.
        known: positions in the batch of the pairs that know their disparity; None where there are none, or where that
            weight is 0.
        disparity: (len(known), H, W), theirs, see `Pairs`; likewise None.
        right: whether a right camera took all of x, or seems to have, by mirroring; None where cameras are not known.
    """

    x: Tensor
    y: Tensor | None
    rates: Tensor
    matching_loss_weight: float
    known: Tensor | None
    disparity: Tensor | None
    right: bool | None


class Batches:
    """The steps of every epoch.

    Args:
        pairs: to train on; with `matching_loss_weight`, pairs that know their disparity.
        config: of the experiment.
        fabric: what it runs on; its processes share every batch.
    """

    def __init__(self, pairs: Pairs | MixedPairs, config: Config, fabric: Fabric):
        self.pairs, self.config, self.fabric = pairs, config, fabric

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self._sampler(0))

    def of_epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The steps of an epoch from `start` on."""
        rng = np.random.default_rng([self.config.seed, epoch])
        flips = torch.from_numpy(rng.random(len(self.pairs)) < 0.5)
        rates = torch.from_numpy(rng.random(len(self.pairs)))
        share = DECEIVED if self.config.robust else 0.0
        others = torch.from_numpy(rng.random(len(self.pairs)) < share)
        alone = rng.random(len(self)) < share
        pairs = self.pairs.in_epoch(epoch)
        cameras = pairs.camera(range(len(pairs)))
        right = None
        if None not in cameras:  # all of a step look alike
            right = rng.random(len(self)) < 0.5
            of_right = torch.tensor([camera == "right" for camera in cameras])
        for step, chosen in enumerate(self._sampler(epoch)):
            if step < start:
                continue
            x, y = map(self._there, pairs.batch(chosen))
            flip = flips[chosen] if right is None else of_right[chosen] ^ bool(right[step])
            flip = self._there(flip)[:, None, None]
            x, y = (torch.where(flip[..., None], images.flip(-1), images) for images in (x, y))
            matching_loss_weight = guidance_weight(self.config, (epoch + step / len(self)) / self.config.epochs)
            known = disparity = None
            if matching_loss_weight and (places := pairs.known(chosen)):
                known = self._there(torch.tensor(places))
                disparity = self._there(pairs.truth([chosen[i] for i in places]))
                # Mirrored, y's things lie to the right.
                disparity = torch.where(flip[known], -disparity.flip(-1), disparity)
            if alone[step]:
                y = known = disparity = None
            elif share:
                other = self._there(others[chosen])
                y = torch.where(other[:, None, None, None], y.roll(1, 0), y)  # in a batch of 1 it remains its own
                if known is not None:
                    disparity = torch.where(other[known][:, None, None], torch.nan, disparity)
            turned = None if right is None else bool(right[step])
            yield Batch(x, y, rates[chosen], matching_loss_weight, known, disparity, turned)

    def _there(self, values: Tensor) -> Tensor:
        """On the device; the CPU does not wait until a GPU has come so far."""
        return values.to(self.fabric.device, non_blocking=True)

    def _sampler(self, epoch: int) -> BatchSampler:
        """Gives the indices of this process's share of every batch."""
        world = self.fabric.world_size
        sampler = DistributedSampler(self.pairs, world, self.fabric.global_rank, seed=self.config.seed)
        sampler.set_epoch(epoch)
        return BatchSampler(sampler, self.config.train_batch_size // world, drop_last=False)


def step_seed(seed: int, epoch: int, step: int, rank: int = 0) -> int:
    """What a process seeds PyTorch with before a step: its noise and dropout depend on nothing that went before.

    Args:
        seed: of the experiment.
        epoch, step: from 0, the step within the epoch.
        rank: of the process, so that no two draw the same noise.

    Example:
        >>> step_seed(0, epoch=1, step=2) == step_seed(0, epoch=1, step=2) != step_seed(0, epoch=2, step=1)
        True
    """
    return int(np.random.SeedSequence((seed, epoch, step, rank)).generate_state(1)[0])
