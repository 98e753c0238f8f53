"""Training batches: shuffling, mirroring and the rates of a variable-rate model, all determined by the seed."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import BatchSampler, DistributedSampler

from ndic_core.data.mixed import MixedPairs
from ndic_core.data.pairs import Pairs
from ndic_core.training.matching_loss import matching_loss_weight_at

MISMATCHED = 0.05  # of a robust model's training: the share of images with another scene's y, and of steps without y


class Batch(NamedTuple):
    """One process's share of a step's batch.

    Attributes:
        x, y: images, (B, 3, H, W) in [0, 1]; y is None in a step without side information.
        rates: (B,) in [0, 1), on the CPU: the position of each image in the rate range of a variable-rate model.
        matching_loss_weight: weight of the matching loss.
        known: indices within the batch of the pairs with a known disparity; None where there are none, or where the
            weight is 0.
        disparity: (len(known), H, W), their disparity, see `Pairs`; likewise None.
        right: whether all of x was taken by a right camera, or looks so after mirroring; None for unknown cameras.
    """

    x: Tensor
    y: Tensor | None
    rates: Tensor
    matching_loss_weight: float
    known: Tensor | None
    disparity: Tensor | None
    right: bool | None


class PairLoader:
    """The batches of every epoch.

    Args:
        pairs: to train on; with `matching_loss_weight`, some with a known disparity.
        fabric: device and processes; the processes share every batch.
        batch_size: pairs per step of all processes together.
        seed: of the experiment.
        epochs: of the training; the matching loss fades out over the first half.
        matching_loss_weight: initial weight of the matching loss.
        robust: include images with another scene's y and steps without y.
    """

    def __init__(
        self,
        pairs: Pairs | MixedPairs,
        fabric: Fabric,
        batch_size: int,
        seed: int = 0,
        epochs: int = 1,
        matching_loss_weight: float = 0.0,
        robust: bool = False,
    ):
        self.pairs, self.fabric, self.batch_size = pairs, fabric, batch_size
        self.seed, self.epochs, self.matching_loss_weight = seed, epochs, matching_loss_weight
        self.mismatched = MISMATCHED if robust else 0.0

    def __len__(self) -> int:
        """Steps per epoch."""
        return len(self._sampler(0))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from step `start` on."""
        rng = np.random.default_rng([self.seed, epoch])
        flips = torch.from_numpy(rng.random(len(self.pairs)) < 0.5)
        rates = torch.from_numpy(rng.random(len(self.pairs)))
        mismatched = torch.from_numpy(rng.random(len(self.pairs)) < self.mismatched)
        without_y = rng.random(len(self)) < self.mismatched
        pairs = self.pairs.in_epoch(epoch)
        cameras = pairs.camera(range(len(pairs)))
        right = None
        if None not in cameras:  # all images of a step appear to come from the same camera
            right = rng.random(len(self)) < 0.5
            from_right = torch.tensor([camera == "right" for camera in cameras])
        for step, chosen in enumerate(self._sampler(epoch)):
            if step < start:
                continue
            x, y = map(self._to_device, pairs.batch(chosen))
            flip = flips[chosen] if right is None else from_right[chosen] ^ bool(right[step])
            flip = self._to_device(flip)[:, None, None]
            x, y = (torch.where(flip[..., None], images.flip(-1), images) for images in (x, y))
            weight = matching_loss_weight_at(self.matching_loss_weight, (epoch + step / len(self)) / self.epochs)
            known = disparity = None
            if weight and (places := pairs.with_ground_truth(chosen)):
                known = self._to_device(torch.tensor(places))
                disparity = self._to_device(pairs.ground_truth([chosen[i] for i in places]))
                # In mirrored images, disparities have the other sign.
                disparity = torch.where(flip[known], -disparity.flip(-1), disparity)
            if without_y[step]:
                y = known = disparity = None
            elif self.mismatched:
                swap = self._to_device(mismatched[chosen])
                y = torch.where(swap[:, None, None, None], y.roll(1, 0), y)  # a batch of 1 keeps its own
                if known is not None:
                    disparity = torch.where(swap[known][:, None, None], torch.nan, disparity)
            side = None if right is None else bool(right[step])
            yield Batch(x, y, rates[chosen], weight, known, disparity, side)

    def _to_device(self, values: Tensor) -> Tensor:
        """Copy to the device, without waiting for a GPU."""
        return values.to(self.fabric.device, non_blocking=True)

    def _sampler(self, epoch: int) -> BatchSampler:
        """Indices of this process's share of every batch."""
        world = self.fabric.world_size
        sampler = DistributedSampler(self.pairs, world, self.fabric.global_rank, seed=self.seed)
        sampler.set_epoch(epoch)
        return BatchSampler(sampler, self.batch_size // world, drop_last=False)


def step_seed(seed: int, epoch: int, step: int, rank: int = 0) -> int:
    """PyTorch's seed for a step, so that noise and dropout do not depend on earlier steps.

    Args:
        epoch, step: from 0; the step within the epoch.
        rank: of the process, so that each draws its own noise.

    Example:
        >>> step_seed(0, epoch=1, step=2) == step_seed(0, epoch=1, step=2) != step_seed(0, epoch=2, step=1)
        True
    """
    return int(np.random.SeedSequence((seed, epoch, step, rank)).generate_state(1)[0])
