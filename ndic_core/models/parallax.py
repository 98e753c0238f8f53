"""The parallax attention module: features of y aligned with x's by looking along the row."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndic_core.models.transforms import conv

BLOCK = 32  # columns of x whose windows are attended to together
KEYS = 2**20  # most keys in memory at a time, copied for every window they are in; rows beyond that wait


class ParallaxAttentionModule(nn.Module):
    """Features of `y` rearranged to lie where `x` has theirs, looked for only where a second camera can have them.

    What two rectified cameras see lies in one row, shifted by its disparity. So every position of x asks the positions
    of y in the same row within ± `reach` columns (and a few rows, for cameras that are not rectified or not
    synchronised), and one thing more: a learned token that stands for "nothing here matches", for what y's camera does
    not see. Beyond the borders of y there stand copies of it.

        t ─ norm ─ to_q ──────────┐
                                  ├─ softmax(q kᵀ/√d + bias[offset]) v ─ to_out ─ features
        u ─ norm ─ to_kv ─ k, v ──┘

    Attention along the row is PASSRnet's parallax attention (Wang et al., CVPR 2019, section 3.2) and ECSIC's
    (Wödlinger et al. 2023, arXiv 2307.10284); a bounded window, relative positions and the token are ours. Work and
    memory grow with the number of pixels, not with its square: rows are cut into blocks, and each block of queries
    meets the keys of its own windows. (With one camera at twice the resolution disparities
    are twice as large, too: a reach that grows with the picture makes the work grow faster.)

    Args:
        channels: of the features.
        reach: rows and columns, at this scale, that a position looks to either side.
        heads: number of attention heads.
        head_width: width of a head.
    """

    def __init__(self, channels: int, reach: tuple[int, int], heads: int = 2, head_width: int = 16):
        super().__init__()
        self.heads = heads
        self.reach = reach
        inner = heads * head_width
        rows, columns = (2 * r + 1 for r in reach)
        self.norm_x = nn.LayerNorm(channels)
        self.norm_y = nn.LayerNorm(channels)
        self.to_q = conv(channels, inner, 3, 1)  # with its neighbours a position is easier to tell from others
        self.to_kv = conv(channels, 2 * inner, 3, 1)
        self.nothing = nn.Parameter(torch.zeros(2 * inner))  # key and value
        self.bias = nn.Parameter(torch.zeros(heads, rows * columns))
        self.nothing_bias = nn.Parameter(torch.zeros(heads, 1))
        self.to_out = nn.Linear(inner, channels)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        """Aligned features of `y`, (B, N, h, w), from features `t` of x and `u` of y in the same shape."""
        (b, _, h, w), r_y = t.shape, self.reach[0]
        q, kv = self._rows(t, u)
        bias = self._bias(q.shape[3]).to(q.dtype)
        band = max(1, KEYS // (b * q.shape[2] * bias.shape[-1]))
        parts = []
        for i in range(0, h, band):
            windows = self._windows(q[:, i : i + band], kv[:, i : i + band + 2 * r_y])
            out = F.scaled_dot_product_attention(*windows, bias).transpose(1, 2)
            parts.append(out.reshape(b, -1, q.shape[2] * q.shape[3], q.shape[4])[:, :, :w])
        return self.to_out(torch.cat(parts, dim=1)).permute(0, 3, 1, 2)

    def attention(self, t: Tensor, u: Tensor) -> Tensor:
        """Where each position of x looks in y.

        Args:
            t, u: features of x and y, (B, N, h, w).

        Returns:
            (B, heads, h, w, 2·reach[0] + 1, 2·reach[1] + 1): head, row and column in x, and the offset from there to y,
            [0, 0] the furthest up and left. Weights are in [0, 1]; what is missing to a sum of 1 is the weight of
            "nothing matches". Outside y's borders they are 0.
        """
        b, _, h, w = t.shape
        q, k, _ = self._windows(*self._rows(t, u))
        weights = torch.softmax(q @ k.mT * q.shape[-1] ** -0.5 + self._bias(q.shape[2]), dim=-1)
        block, rows, columns = q.shape[2], *(2 * r + 1 for r in self.reach)
        # A window starts one key further right for each query of the block: with lines one longer, they lie in columns.
        windows = weights[..., :-1].unflatten(-1, (rows, -1)).transpose(2, 3)
        windows = F.pad(windows.flatten(3), (0, block)).unflatten(-1, (block, -1))[..., :columns]
        # (B·h·blocks, heads, rows, block, columns) → (B, heads, h, w, rows, columns)
        windows = windows.reshape(b, h, -1, self.heads, rows, block, columns).permute(0, 3, 1, 2, 5, 4, 6)
        windows = windows.reshape(b, self.heads, h, -1, rows, columns)[:, :, :, :w]
        return windows * self._inside(h, w, windows)

    def _rows(self, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Queries in blocks, (B, h, blocks, block, inner), and keys with values, padded by the reach."""
        _, _, h, w = t.shape
        block = min(BLOCK, w)
        r_y, r_x = self.reach
        short = -w % block
        q = self._projected(t, self.norm_x, self.to_q)
        kv = self._projected(u, self.norm_y, self.to_kv)
        q = F.pad(q, (0, 0, 0, short)).unflatten(2, (-1, block))
        beyond = (r_x, r_x + short, r_y, r_y)
        inside = F.pad(torch.ones(h, w, 1, dtype=torch.bool, device=kv.device), (0, 0, *beyond))
        return q, torch.where(inside, F.pad(kv, (0, 0, *beyond)), self.nothing.to(kv.dtype))

    def _windows(self, q: Tensor, kv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of every block in some rows, (B·rows·blocks, heads, length, head_width)."""
        block, (r_y, r_x) = q.shape[3], self.reach
        kv = kv.unfold(2, block + 2 * r_x, block).unfold(1, 2 * r_y + 1, 1)  # (B, h, blocks, 2·inner, keys, rows)
        kv = kv.permute(0, 1, 2, 5, 4, 3).flatten(3, 4)
        kv = torch.cat([kv, self.nothing.to(kv.dtype).expand(*kv.shape[:3], 1, -1)], dim=3)
        return tuple(
            part.flatten(0, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, *kv.chunk(2, dim=-1))
        )

    @staticmethod
    def _projected(features: Tensor, norm: nn.LayerNorm, to: nn.Conv2d) -> Tensor:
        """(B, N, h, w) → (B, h, w, width)."""
        return to(norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def _bias(self, block: int) -> Tensor:
        """(heads, block, keys + 1): the learned bias of each offset, −∞ outside the window."""
        table = torch.cat([self.bias, self.nothing_bias, self.bias.new_full((self.heads, 1), -math.inf)], dim=1)
        return table[:, _offsets(self.reach, block, table.device)]

    def _inside(self, h: int, w: int, like: Tensor) -> Tensor:
        """(h, w, rows, columns): 1 where position plus offset lies within y, else 0."""
        rows, columns = (
            (torch.arange(side, device=like.device)[:, None] + torch.arange(-r, r + 1, device=like.device))
            for side, r in zip((h, w), self.reach, strict=True)
        )
        rows, columns = (rows >= 0) & (rows < h), (columns >= 0) & (columns < w)
        return (rows[:, None, :, None] & columns[:, None]).to(like)


@lru_cache(maxsize=64)  # two dozen tiny operations: on a GPU they would take longer than the attention
@torch.inference_mode(False)  # what is kept must also serve a training
def _offsets(reach: tuple[int, int], block: int, device: torch.device) -> Tensor:
    """(block, keys + 1): which bias belongs to each query and key; the last but one is the token's, the last is −∞."""
    rows, columns = (2 * r + 1 for r in reach)
    offset = torch.arange(block + columns - 1) - torch.arange(block)[:, None]  # (block, keys of a row)
    row = torch.arange(rows)[:, None, None] * columns
    outside = rows * columns + 1
    index = torch.where((offset >= 0) & (offset < columns), row + offset, outside).transpose(0, 1).flatten(1)
    return F.pad(index, (0, 1), value=rows * columns).to(device)
