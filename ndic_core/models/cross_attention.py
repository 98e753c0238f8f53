"""The cross-attention module (CAM): aligns features of the side image with those of the image sent."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CrossAttentionModule(nn.Module):
    """Features of `y` aligned with those of `x` (Mital et al. 2022, arXiv 2207.08489, section 3).

    Tokens are single-channel patches: a feature map of N channels on a grid of P × P patches makes N·P·P
    tokens of (h/P)·(w/P) values each. Tokens of `x` are queries, tokens of `y` keys and values:

        t ─ tokens ─ embed_x ─ norm ─ to_q ──────────┐
                                                     ├─ softmax(q kᵀ/√d) v ─ to_out ─ unpack ─ features
        u ─ tokens ─ embed_y ─ norm ─ to_kv ─ k, v ──┘

    No residual connection and no positional encoding, as published. Only the projections with an effect are
    computed (the published module also computes k and v of `x` and q of `y`, which nothing uses).

    Args:
        feature_size: height and width of the feature maps; both multiples of `patch_grid`.
        width: embedding dimension.
        heads: number of attention heads.
        head_dim: dimension of a head; `width` where None, as published.
        patch_grid: patches per side, P.
        dropout: after `to_out`, in training.
    """

    def __init__(
        self,
        feature_size: tuple[int, int],
        width: int = 256,
        heads: int = 8,
        head_dim: int | None = None,
        patch_grid: int = 4,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.heads = heads
        self.patch_grid = patch_grid
        self.patch_size = (feature_size[0] // patch_grid, feature_size[1] // patch_grid)
        values = self.patch_size[0] * self.patch_size[1]
        inner = heads * (head_dim or width)
        self.embed_x = nn.Linear(values, width)
        self.embed_y = nn.Linear(values, width)
        self.norm = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)
        self.unpack = nn.Linear(width, values)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        """Aligned features of `y`, (B, N, h, w), from features `t` of x and `u` of y in the same shape."""
        q, k, v = self._queries(t), *self._keys_values(u)
        out = F.scaled_dot_product_attention(q, k, v)
        out = self.dropout(self.to_out(out.transpose(1, 2).flatten(2)))
        return self._untokens(self.unpack(out))

    @torch.no_grad()
    def attention(self, t: Tensor, u: Tensor) -> Tensor:
        """The attention weight of each patch of y for each patch of x, averaged over x's channels and summed over y's.

        Returns:
            (B, heads, P, P, P, P): head, patch row and column in x, patch row and column in y. Each
            map over y is a distribution: its entries are in [0, 1] and add up to 1.
        """
        q, k = self._queries(t), self._keys_values(u)[0]
        channels, patches = t.shape[1], self.patch_grid**2
        scale = q.shape[-1] ** -0.5
        maps = q.new_zeros(*q.shape[:2], patches, patches)
        # One of x's channels at a time: all of them at once would take N times the memory.
        for q_channel in q.split(patches, dim=2):
            weights = torch.softmax(q_channel @ k.mT * scale, dim=-1)
            maps += weights.unflatten(-1, (channels, patches)).sum(-2)
        return (maps / channels).reshape(*q.shape[:2], *[self.patch_grid] * 4)

    def _queries(self, t: Tensor) -> Tensor:
        return self._split_heads(self.to_q(self.norm(self.embed_x(self._tokens(t)))))

    def _keys_values(self, u: Tensor) -> tuple[Tensor, Tensor]:
        k, v = self.to_kv(self.norm(self.embed_y(self._tokens(u)))).chunk(2, dim=-1)
        return self._split_heads(k), self._split_heads(v)

    def _split_heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _tokens(self, features: Tensor) -> Tensor:
        """(B, N, h, w) → (B, N·P·P, h/P·w/P), ordered by channel, patch row, patch column."""
        b, n = features.shape[:2]
        p, (rows, columns) = self.patch_grid, self.patch_size
        patches = features.reshape(b, n, p, rows, p, columns).transpose(3, 4)
        return patches.reshape(b, n * p * p, rows * columns)

    def _untokens(self, tokens: Tensor) -> Tensor:
        """The inverse of `_tokens`."""
        b, p, (rows, columns) = tokens.shape[0], self.patch_grid, self.patch_size
        patches = tokens.reshape(b, -1, p, p, rows, columns).transpose(3, 4)
        return patches.reshape(b, -1, p * rows, p * columns)
