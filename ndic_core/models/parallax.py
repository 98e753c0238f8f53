"""The parallax attention module: features of y aligned with x's by looking along the row."""

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ndic_core.models.transforms import conv

BLOCK = 32  # columns of x whose windows are attended to together
KEYS = 2**20  # most keys in memory at a time, copied for every window they are in; rows beyond that wait
CACHED = 2**13  # the same in training on a CPU: what fits its cache


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
        q, kv = self._projected(t, self.norm_x, self.to_q), self._projected(u, self.norm_y, self.to_kv)
        bias = self._bias(q.shape[2])
        if q.is_cpu and torch.is_grad_enabled():
            out = _BandedAttention.apply(q, kv, self.nothing, bias, self.reach)
        else:
            bias, parts = bias.to(q.dtype), []
            for i, j in _bands(q, bias, KEYS):
                windows = self._heads(q[:, i:j], _windows(kv, self.nothing, self.reach, i, j))
                parts.append(_rows(F.scaled_dot_product_attention(*windows, bias).transpose(1, 2).flatten(2), q, i, j))
            out = torch.cat(parts, dim=1)
        return self.to_out(out).permute(0, 3, 1, 2)

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
        q, kv = self._projected(t, self.norm_x, self.to_q), self._projected(u, self.norm_y, self.to_kv)
        q, k, _ = self._heads(q, _windows(kv, self.nothing, self.reach, 0, h))
        weights = torch.softmax(q @ k.mT * q.shape[-1] ** -0.5 + self._bias(w), dim=-1)
        block, rows, columns = q.shape[2], *(2 * r + 1 for r in self.reach)
        # A window starts one key further right for each query of the block: with lines one longer, they lie in columns.
        windows = weights[..., :-1].unflatten(-1, (rows, -1)).transpose(2, 3)
        windows = F.pad(windows.flatten(3), (0, block)).unflatten(-1, (block, -1))[..., :columns]
        # (B·h·blocks, heads, rows, block, columns) → (B, heads, h, w, rows, columns)
        windows = windows.reshape(b, h, -1, self.heads, rows, block, columns).permute(0, 3, 1, 2, 5, 4, 6)
        windows = windows.reshape(b, self.heads, h, -1, rows, columns)[:, :, :, :w]
        return windows * self._inside(h, w, windows)

    def _heads(self, q: Tensor, kv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of every window, (B·rows·blocks, heads, length, head_width)."""
        return tuple(
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (_blocks(q), *kv.chunk(2, dim=-1))
        )

    @staticmethod
    def _projected(features: Tensor, norm: nn.LayerNorm, to: nn.Conv2d) -> Tensor:
        """(B, N, h, w) → (B, h, w, width)."""
        return to(norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def _bias(self, w: int) -> Tensor:
        """(heads, block, keys + 1): the learned bias of each offset, −∞ outside the window."""
        table = torch.cat([self.bias, self.nothing_bias, self.bias.new_full((self.heads, 1), -math.inf)], dim=1)
        return table[:, _offsets(self.reach, min(BLOCK, w), table.device)]

    def _inside(self, h: int, w: int, like: Tensor) -> Tensor:
        """(h, w, rows, columns): 1 where position plus offset lies within y, else 0."""
        rows, columns = (
            (torch.arange(side, device=like.device)[:, None] + torch.arange(-r, r + 1, device=like.device))
            for side, r in zip((h, w), self.reach, strict=True)
        )
        rows, columns = (rows >= 0) & (rows < h), (columns >= 0) & (columns < w)
        return (rows[:, None, :, None] & columns[:, None]).to(like)


class _BandedAttention(torch.autograd.Function):
    """Attention of (B, h, w, inner) queries in float32, a few rows at a time, forward and backward.

    A CPU has no fused kernel for a bias that learns: `scaled_dot_product_attention` writes all scores of all rows to
    memory, several times. Here those of a few rows stay in the cache, and the backward pass computes them again.
    """

    @staticmethod
    def forward(ctx, q: Tensor, kv: Tensor, nothing: Tensor, bias: Tensor, reach: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(q, kv, nothing, bias)
        ctx.reach = reach
        out = torch.empty_like(q)
        with torch.autocast("cpu", enabled=False):
            for i, j in _bands(q, bias, CACHED):
                queries, windows = _blocks(q[:, i:j]).float(), _windows(kv, nothing, reach, i, j).float()
                heads = _by_head(bias, queries, *windows.chunk(2, dim=-1))
                parts = [_weights(query, key, offset) @ value for offset, query, key, value in heads]
                out[:, i:j] = _rows(torch.cat(parts, dim=-1), q, i, j)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        q, kv, nothing, bias = ctx.saved_tensors
        grad_q, grad_kv = torch.empty_like(q), torch.zeros_like(kv)
        grad_nothing, grad_bias = torch.zeros_like(nothing), torch.zeros_like(bias)
        for i, j in _bands(q, bias, CACHED):
            queries, windows = _blocks(q[:, i:j]).float(), _windows(kv, nothing, ctx.reach, i, j).float()
            grad_queries, grad_windows = torch.empty_like(queries), torch.empty_like(windows)
            parts = (queries, *windows.chunk(2, dim=-1), _blocks(grad[:, i:j]).float())
            grads = (grad_queries, *grad_windows.chunk(2, dim=-1))
            heads = zip(_by_head(bias, *parts), _by_head(grad_bias, *grads), strict=True)
            for (offset, query, key, value, grad_out), (grad_offset, grad_query, grad_key, grad_value) in heads:
                weights = _weights(query, key, offset)
                scores = (grad_out @ value.mT).mul_(weights)
                scores.addcmul_(weights, scores.sum(-1, keepdim=True), value=-1)
                grad_offset += scores.sum(0)
                scores *= query.shape[-1] ** -0.5
                grad_query.copy_(scores @ key)
                grad_key.copy_(scores.mT @ query)
                grad_value.copy_(weights.mT @ grad_out)
            grad_q[:, i:j] = _rows(grad_queries, q, i, j)
            grad_nothing += _add_windows(grad_kv, grad_windows, ctx.reach, i, j)
        return grad_q, grad_kv, grad_nothing, grad_bias, None


def _bands(q: Tensor, bias: Tensor, most: int) -> Iterator[tuple[int, int]]:
    """First row and the row after the last, so that the windows of each band hold `most` keys or fewer."""
    b, h, w, _ = q.shape
    band = max(1, most // (b * -(-w // bias.shape[1]) * bias.shape[2]))
    return ((i, min(i + band, h)) for i in range(0, h, band))


def _blocks(q: Tensor) -> Tensor:
    """(B, rows, w, inner) → (B·rows·blocks, block, inner), zeros where the last block is too long."""
    block = min(BLOCK, q.shape[2])
    return F.pad(q, (0, 0, 0, -q.shape[2] % block)).unflatten(2, (-1, block)).flatten(0, 2)


def _rows(blocks: Tensor, q: Tensor, i: int, j: int) -> Tensor:
    """Inverse of `_blocks`, for rows i to j of `q`."""
    return blocks.unflatten(0, (len(q), j - i, -1)).flatten(2, 3)[:, :, : q.shape[2]]


def _windows(kv: Tensor, nothing: Tensor, reach: tuple[int, int], i: int, j: int) -> Tensor:
    """What the blocks of rows i to j look at, and the token: (B·rows·blocks, keys + 1, 2·inner)."""
    (b, _, w, _), (r_y, r_x), block = kv.shape, reach, min(BLOCK, kv.shape[2])
    rows, inside = _place(kv, reach, i, j)
    nothing = nothing.to(kv.dtype)
    padded = nothing.repeat(b, j - i + 2 * r_y, w + -w % block + 2 * r_x, 1)
    padded[inside] = kv[:, rows]
    windows = padded.unfold(2, block + 2 * r_x, block).unfold(1, 2 * r_y + 1, 1)  # (B, rows, blocks, inner, x, y)
    windows = windows.permute(0, 1, 2, 5, 4, 3).flatten(3, 4)
    return torch.cat([windows, nothing.expand(*windows.shape[:3], 1, -1)], dim=3).flatten(0, 2)


def _add_windows(grad_kv: Tensor, grad_windows: Tensor, reach: tuple[int, int], i: int, j: int) -> Tensor:
    """Backward pass of `_windows`: adds to the gradient of `kv`, returns the token's."""
    (b, _, w, _), (r_y, r_x), block = grad_kv.shape, reach, min(BLOCK, grad_kv.shape[2])
    rows, inside = _place(grad_kv, reach, i, j)
    blocks, columns = -(-w // block), block + 2 * r_x
    padded = grad_windows.new_zeros(b, j - i + 2 * r_y, w + -w % block + 2 * r_x, grad_kv.shape[3])
    windows = grad_windows[:, :-1].unflatten(0, (b, j - i, blocks)).unflatten(3, (-1, columns))
    for y in range(2 * r_y + 1):
        for k in range(blocks):
            padded[:, y : y + j - i, k * block : k * block + columns] += windows[:, :, k, y]
    grad_kv[:, rows] += padded[inside]
    padded[inside] = 0
    return padded.sum((0, 1, 2)) + grad_windows[:, -1].sum(0)


def _place(kv: Tensor, reach: tuple[int, int], i: int, j: int) -> tuple[slice, tuple[slice, slice, slice]]:
    """Rows of y within reach of rows i to j of x, and where they lie in those padded by the reach."""
    (_, h, w, _), (r_y, r_x) = kv.shape, reach
    rows = slice(max(i - r_y, 0), min(j + r_y, h))
    return rows, (slice(None), slice(rows.start - i + r_y, rows.stop - i + r_y), slice(r_x, r_x + w))


def _by_head(bias: Tensor, *parts: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """For each head its bias and its share of the last dimension."""
    return zip(bias, *(part.chunk(len(bias), dim=-1) for part in parts), strict=True)


def _weights(query: Tensor, key: Tensor, offset: Tensor) -> Tensor:
    return torch.baddbmm(offset, query, key.mT, alpha=query.shape[-1] ** -0.5).softmax(-1)


@lru_cache(maxsize=64)  # two dozen tiny operations: on a GPU they would take longer than the attention
def _offsets(reach: tuple[int, int], block: int, device: torch.device) -> Tensor:
    """(block, keys + 1): which bias belongs to each query and key; the last but one is the token's, the last is −∞."""
    rows, columns = (2 * r + 1 for r in reach)
    offset = torch.arange(block + columns - 1) - torch.arange(block)[:, None]  # (block, keys of a row)
    row = torch.arange(rows)[:, None, None] * columns
    outside = rows * columns + 1
    index = torch.where((offset >= 0) & (offset < columns), row + offset, outside).transpose(0, 1).flatten(1)
    return F.pad(index, (0, 1), value=rows * columns).to(device)
