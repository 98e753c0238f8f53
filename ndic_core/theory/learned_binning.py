"""Two small networks that learn to code single samples of x for a decoder with y, and discover binning.

x ──► encoder ──► logits of 8 indexes ──► argmax ══ index ══► x̂ of this index
                                                                ▲
y ──────────────────────► decoder ──► x̂ for each index ─────────┘
"""

from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn

from ndic_core.errors import NDICError, whole_number

_START, _END = 0.08, 0.001  # temperatures: from even probabilities to one index for each x


class LearnedCode(nn.Module):
    """Encoder, decoder and prior of the indexes; the encoder never sees y, nor does the prior.

    Source: E. Özyılkan, J. Ballé and E. Erkip, "Learned Wyner–Ziv compressors recover binning", ISIT 2023 (marginal
    formulation: the code of the indexes ignores y). The training is not theirs: a softmax over all indexes, whose
    temperature falls as in K. Rose, "Deterministic annealing", Proc. IEEE 86, 1998.

    Args:
        indexes: number of values of the index, 1 or more.
        width: of the two hidden layers of each network.

    Example:
        >>> code = LearnedCode(indexes=8)
        >>> x = torch.zeros(5, 1)
        >>> code.encoder(x).shape, code.reconstructions(x).shape, code.encode(x).shape
        (torch.Size([5, 8]), torch.Size([5, 8]), torch.Size([5]))
    """

    def __init__(self, indexes: int = 8, width: int = 32):
        super().__init__()
        whole_number(indexes, "indexes")
        self.encoder, self.decoder = _network(indexes, width), _network(indexes, width)
        self.prior = nn.Parameter(torch.zeros(indexes))  # logits

    def reconstructions(self, y: Tensor) -> Tensor:
        """x̂ for each index, (B, indexes), of y, (B, 1)."""
        return y + self.decoder(y)

    def encode(self, x: Tensor) -> Tensor:
        """The index that is sent, (B,), of x, (B, 1)."""
        return self.encoder(x).argmax(1)

    def decode(self, index: Tensor, y: Tensor) -> Tensor:
        """x̂, (B, 1), of the index, (B,), and y, (B, 1)."""
        return self.reconstructions(y).gather(1, index[:, None])

    def loss(self, x: Tensor, y: Tensor, lmbda: float, temperature: float) -> Tensor:
        """Expected bits + lmbda · (squared error − temperature · entropy of the index given x, in nats).

        The expectation is over the probabilities (softmax) of the indexes. The prior gives the bits.

        Args:
            x, y: (B, 1).
            lmbda: bits per unit of mean squared error.
            temperature: in units of mean squared error; at 0 the best encoder is certain of its index.
        """
        log_p = self.encoder(x).log_softmax(1)
        bits = -self.prior.log_softmax(0) / np.log(2)
        cost = bits + lmbda * ((x - self.reconstructions(y)) ** 2 + temperature * log_p)
        return (log_p.exp() * cost).sum(1).mean()


def _network(outputs: int, width: int) -> nn.Sequential:
    first = nn.Linear(1, width)
    with torch.no_grad():  # steeper than PyTorch's: cells are narrower than the standard deviation of x
        first.weight.mul_(3)
        first.bias.mul_(3)
    return nn.Sequential(first, nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs))


def pairs(count: int, noise: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Gaussian x of variance 1, and y, which is x plus noise of this variance; (count, 1) each."""
    x = torch.randn(count, 1, generator=generator)
    return x, x + noise**0.5 * torch.randn(count, 1, generator=generator)


def train(
    lmbda: float, noise: float, steps: int = 1500, batch: int = 512, indexes: int = 8, seed: int = 0
) -> LearnedCode:
    """Train a code on simulated pairs, while the temperature falls geometrically; a few seconds on a CPU.

    Args:
        lmbda: weight of the distortion, above 0; a larger one gives more bits.
        noise: variance of y's noise, above 0.
        steps, batch: of the training.
        indexes: number of values of the index.
        seed: of the networks and the pairs.
    """
    if not (0 < lmbda < np.inf and 0 < noise < np.inf):
        raise NDICError(f"lmbda and noise must be above 0 and finite, not {lmbda} and {noise}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        code = LearnedCode(indexes)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(code.parameters(), lr=5e-3, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        temperature = _START * (_END / _START) ** (step / steps)
        optimizer.zero_grad()
        code.loss(*pairs(batch, noise, generator), lmbda, temperature).backward()
        optimizer.step()
        schedule.step()
    return code


@torch.no_grad()
def measure(code: LearnedCode, noise: float, samples: int = 100_000, seed: int = 1) -> tuple[float, float]:
    """Rate and distortion of the indexes that are sent, on new pairs.

    Returns:
        Empirical entropy of the index, in bits per sample (an ideal entropy coder; no file is written), and mean
        squared error.
    """
    x, y = pairs(samples, noise, torch.Generator().manual_seed(seed))
    index = code.encode(x)
    share = index.bincount().double() / samples
    return -torch.xlogy(share, share).sum().item() / np.log(2), (x - code.decode(index, y)).square().mean().item()


@torch.no_grad()
def intervals(code: LearnedCode, reach: float = 3.0, points: int = 3001) -> list[tuple[int, float, float]]:
    """Intervals of x with one index: index, left and right end, in the order of x.

    Args:
        reach: the intervals cover −reach to reach.
        points: of the grid on which the encoder is evaluated.
    """
    x = torch.linspace(-reach, reach, points)
    runs, at, half = [], 0, reach / (points - 1)
    for index, run in groupby(code.encode(x[:, None]).tolist()):
        end = at + len(list(run))
        runs.append((index, max(-reach, x[at].item() - half), min(reach, x[end - 1].item() + half)))
        at = end
    return runs


def reused(cells: list[tuple[int, float, float]]) -> int:
    """How many indexes are sent for several separate intervals.

    Example:
        >>> reused([(0, -3, -1), (1, -1, 1), (0, 1, 3)])
        1
    """
    sent = [index for index, _, _ in cells]
    return sum(sent.count(index) > 1 for index in set(sent))
