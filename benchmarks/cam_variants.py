"""Variants of the module of `cross_attention`, and controls in its place, for `replication.py`.

Each function changes a model in place. It has the published module before: random weights at first, no residual
connection, no positional encoding, tokens that are patches of single channels on a grid of 4 × 4.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import MethodType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndic_core.catalogue import STRIDES
from ndic_core.checkpoints.warm_start import init_as_patch_matching
from ndic_core.data.pairs import Pairs
from ndic_core.models.codec import Codec, evaluating
from ndic_core.models.cross_attention import CrossAttentionModule
from ndic_core.models.ndic import join
from ndic_core.models.warping import read_at

FURTHEST = 24  # pixels: the largest constant shift that is tried, in images 128 wide


class Residual(CrossAttentionModule):
    """Adds y's features without alignment; x's are beside the aligned ones in any case."""

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return u + super().forward(t, u)


class Temperature(CrossAttentionModule):
    """Scores are cosines times a learned factor of each head, 10 at first (Liu et al. 2022, "Swin Transformer V2",
    arXiv 2111.09883, section 3.3)."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.log_factor = nn.Parameter(torch.full((self.heads, 1, 1), math.log(10)))

    def _queries(self, t: Tensor) -> Tensor:
        q = F.normalize(super()._queries(t), dim=-1)
        return q * self.log_factor.exp() * q.shape[-1] ** 0.5  # the attention divides by this root

    def _keys_values(self, u: Tensor) -> tuple[Tensor, Tensor]:
        k, v = super()._keys_values(u)
        return F.normalize(k, dim=-1), v


class Placed(CrossAttentionModule):
    """A learned vector for each place of the grid is added to the tokens of x and y."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.places = nn.Parameter(0.02 * torch.randn(self.patch_grid**2, self.embed_x.out_features))

    def _queries(self, t: Tensor) -> Tensor:
        return self._split_heads(self.to_q(self.norm(self.placed(self.embed_x(self._tokens(t))))))

    def _keys_values(self, u: Tensor) -> tuple[Tensor, Tensor]:
        k, v = self.to_kv(self.norm(self.placed(self.embed_y(self._tokens(u))))).chunk(2, dim=-1)
        return self._split_heads(k), self._split_heads(v)

    def placed(self, tokens: Tensor) -> Tensor:
        """Tokens are ordered by channel, then by place."""
        return tokens + self.places.repeat(tokens.shape[1] // len(self.places), 1)


class WithinRow(CrossAttentionModule):
    """A patch attends to y's patches in its own row of the grid."""

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        row = torch.arange(self.patch_grid**2, device=t.device).repeat(t.shape[1]) // self.patch_grid
        q, k, v = self._queries(t), *self._keys_values(u)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=row[:, None] == row)
        return self._untokens(self.unpack(self.dropout(self.to_out(out.transpose(1, 2).flatten(2)))))


class MultiChannel(CrossAttentionModule):
    """A token has all channels of a patch: P² tokens in a layer, not N · P². A patch has one position at least.

    The linear maps of patches are written as convolutions, whose weights SOAP handles side by side.

    Args:
        channels: of the features.
        feature_size, width, heads, head_dim: as of `CrossAttentionModule`.
        grid: patches per side, P.
        residual: whether y's features are added without alignment.
        search: whether it starts as a search for patches that look alike: the same embedding and projection for queries
            and keys, cosines as scores, times a learned factor as in `Temperature`, and values that are mapped back by
            the transposed embedding.
        row: whether a patch attends to y's patches in its own row only.
    """

    def __init__(
        self,
        channels: int,
        feature_size: tuple[int, int],
        width: int,
        heads: int,
        head_dim: int,
        grid: int,
        residual: bool = False,
        search: bool = False,
        row: bool = False,
    ):
        super().__init__(feature_size, width, heads, head_dim, patch_grid=1)
        patch = tuple(max(1, side // grid) for side in feature_size)
        self.grid = tuple(side // length for side, length in zip(feature_size, patch, strict=True))
        self.embed_x, self.embed_y = (nn.Conv2d(channels, width, patch, patch) for _ in range(2))
        self.unpack = nn.ConvTranspose2d(width, channels, patch, patch)
        self.residual, self.log_factor = residual, None
        if search:
            self.log_factor = nn.Parameter(torch.full((heads, 1, 1), math.log(10)))
            self._start_as_search()
        rows = torch.arange(self.grid[0]).repeat_interleave(self.grid[1])
        self.register_buffer("mask", rows[:, None] == rows if row else None, persistent=False)

    @torch.no_grad()
    def _start_as_search(self) -> None:
        width, inner = self.to_out.out_features, self.to_q.out_features
        embedding = nn.init.orthogonal_(torch.empty(width, self.embed_x.weight[0].numel()))
        heads = nn.init.orthogonal_(torch.empty(inner, width))
        values = {self.embed_x: embedding, self.embed_y: embedding, self.unpack: embedding, self.to_q: heads}
        values |= {self.to_kv: torch.cat([heads, heads]), self.to_out: heads.T}
        for layer, weight in values.items():
            layer.weight.copy_(weight.reshape(layer.weight.shape))
            if layer.bias is not None:
                layer.bias.zero_()

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        q, k, v = self._queries(t), *self._keys_values(u)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask)
        out = self.dropout(self.to_out(out.transpose(1, 2).flatten(2)))
        aligned = self.unpack(out.mT.unflatten(2, self.grid))
        return u + aligned if self.residual else aligned

    @torch.no_grad()
    def attention(self, t: Tensor, u: Tensor) -> Tensor:
        """As of `CrossAttentionModule`; a token is a patch, so there are no channels to sum over."""
        q, k = self._queries(t), self._keys_values(u)[0]
        scores = q @ k.mT * q.shape[-1] ** -0.5
        if self.mask is not None:
            scores = scores.masked_fill(~self.mask, -torch.inf)
        return scores.softmax(-1).unflatten(3, self.grid).unflatten(2, self.grid)

    def _queries(self, t: Tensor) -> Tensor:
        q = self._split_heads(self.to_q(self._embedded(self.embed_x, t)))
        if self.log_factor is None:
            return q
        return F.normalize(q, dim=-1) * self.log_factor.exp() * q.shape[-1] ** 0.5

    def _keys_values(self, u: Tensor) -> tuple[Tensor, Tensor]:
        k, v = map(self._split_heads, self.to_kv(self._embedded(self.embed_y, u)).chunk(2, dim=-1))
        return k if self.log_factor is None else F.normalize(k, dim=-1), v

    def _embedded(self, embed: nn.Module, features: Tensor) -> Tensor:
        return self.norm(embed(features).flatten(2).mT)


class Identity(nn.Module):
    """y's features without alignment."""

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return u


class Convolutions(nn.Module):
    """Two convolutions of 5 × 5 on both features.

    Args:
        channels: of the features of x, and of those of y.
        parameters: about as many.
    """

    def __init__(self, channels: int, parameters: int):
        super().__init__()
        hidden = max(1, round(parameters / (3 * 25 * channels)))
        first, second = nn.Conv2d(2 * channels, hidden, 5, padding=2), nn.Conv2d(hidden, channels, 5, padding=2)
        self.layers = nn.Sequential(first, nn.LeakyReLU(0.1), second)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return self.layers(join(t, u))


class Told(nn.Module):
    """y's features read at places that the receiver is told, without any file paying for it: a bound, not a codec.

    Args:
        place: returns the column offset of the match for each pixel of the current images, (B, H, W).
        stride: pixels per feature.
    """

    def __init__(self, place: Callable[[], Tensor], stride: int):
        super().__init__()
        self.place, self.stride = place, stride

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        columns = F.avg_pool2d(self.place()[:, None], self.stride) / self.stride
        offset = torch.cat([torch.zeros_like(columns), columns], 1)
        return read_at(u.permute(0, 2, 3, 1), offset, vertical=False).permute(0, 3, 1, 2).to(u)


def with_module(kind: type[CrossAttentionModule], model: Codec) -> None:
    """Replace the modules by those of a subclass with the same options."""
    for i, cam in enumerate(model.cams):
        size = tuple(cam.patch_grid * side for side in cam.patch_size)
        width, head_dim = cam.embed_x.out_features, cam.to_q.out_features // cam.heads
        new = kind(size, width, cam.heads, head_dim, cam.patch_grid, cam.dropout.p)
        new.load_state_dict(cam.state_dict(), strict=False)
        model.cams[i] = new


def with_multi_channel(grid: int, model: Codec, **options: bool) -> None:
    """Replace the modules by those with tokens of all channels; `options` as of `MultiChannel`."""
    for i, cam in enumerate(model.cams):
        size = tuple(cam.patch_grid * side for side in cam.patch_size)
        width, head_dim = cam.embed_x.out_features, cam.to_q.out_features // cam.heads
        model.cams[i] = MultiChannel(model.config["num_filters"], size, width, cam.heads, head_dim, grid, **options)


def with_patch_matching(model: Codec) -> None:
    """Initialise the attention as a search for patches that look alike."""
    for cam in model.cams:
        init_as_patch_matching(cam)


def with_tied_decoders(model: Codec) -> None:
    """Decode y with x's decoder, with y's own features where x's decoder has the aligned ones."""

    def decode_stages(self: Codec, h_x: Tensor, h_y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        t, u = join(h_x, w), join(h_y, w)
        for stage, cam in zip(self.synthesis_x, self.cams, strict=False):
            t, u = stage(t), stage(u)
            t, u = join(t, cam(t, u)), join(u, u)
        return t, u

    model.synthesis_y = model.synthesis_x
    model._decode_stages = MethodType(decode_stages, model)  # a copy of the model gets a method of its own


def with_identity(model: Codec) -> None:
    """Hand over y's features without alignment."""
    model.cams = nn.ModuleList(Identity() for _ in model.cams)


def with_convolutions(model: Codec) -> None:
    """Replace the modules by convolutions with about as many parameters."""
    channels = model.config["num_filters"]
    model.cams = nn.ModuleList(Convolutions(channels, sum(p.numel() for p in cam.parameters())) for cam in model.cams)


def with_best_shift(model: Codec) -> None:
    """Shift y's features by one number of pixels for each pair, the one that makes y most similar to x."""
    seen = _watch(model)
    with_places(model, lambda: best_shifts(*seen))


def with_true_places(sets: Sequence[Pairs], model: Codec) -> None:
    """Read y's features at the true disparity. Occluded pixels get that of their surroundings to the left.

    Args:
        sets: with disparity; the pairs that the model is trained and measured on, not cropped.
    """
    known = {}
    for pairs in sets:
        for i in range(len(pairs)):
            x, disparity = pairs[i][0], _filled(pairs.ground_truth([i])[0])
            known[_key(x)], known[_key(x.flip(-1))] = -disparity, disparity.flip(-1)
    seen = _watch(model)
    with_places(model, lambda: torch.stack([known[_key(x)] for x in seen[0]]))


def with_places(model: Codec, place: Callable[[], Tensor]) -> None:
    model.cams = nn.ModuleList(Told(place, stride) for stride in STRIDES)


def best_shifts(x: Tensor, y: Tensor) -> Tensor:
    """The column offset from x to y, the same for all pixels of an image, with the smallest mean squared difference.

    Args:
        x, y: (B, 3, H, W).

    Returns:
        (B, H, W), pixels.
    """
    b, _, h, w = x.shape
    errors = []
    for shift in range(-FURTHEST, FURTHEST + 1):
        inside = slice(max(0, -shift), w - max(0, shift))
        moved = y[..., max(0, shift) : w + min(0, shift)]
        errors.append((x[..., inside] - moved).square().mean((1, 2, 3)))
    best = torch.stack(errors).argmin(0) - FURTHEST
    return best.float()[:, None, None].expand(b, h, w)


def _watch(model: Codec) -> list[Tensor]:
    """The last images x and y that the transforms of a model were given: what an oracle knows."""
    seen: list[Tensor] = [torch.empty(0)] * 2
    for i, analysis in enumerate((model.analysis_x, model.analysis_y)):
        analysis.register_forward_pre_hook(lambda _, given, i=i: seen.__setitem__(i, given[0].detach()))
    return seen


def _key(x: Tensor) -> bytes:
    """Identifies an image by some of its pixels."""
    return (255 * x[:, ::8, ::8]).round().byte().contiguous().cpu().numpy().tobytes()


def _filled(disparity: Tensor) -> Tensor:
    """Disparity (H, W) with its nearest known value from the left where it is NaN; from the right at the border."""
    known = ~disparity.isnan()
    column = torch.arange(disparity.shape[1]).expand_as(disparity)
    last = torch.where(known, column, -1).cummax(1).values
    following = torch.where(known, column, disparity.shape[1]).flip(1).cummin(1).values.flip(1)
    at = torch.where(last >= 0, last, following).clamp(max=disparity.shape[1] - 1)
    return disparity.gather(1, at).nan_to_num(0)


@contextmanager
def fed_another(model: Codec, x: Tensor, y: Tensor) -> Iterator[None]:
    """Within the block, the modules are given the features of `y` (3, H, W), whatever y is decoded with.

    The common information still comes from that other y: what is lost comes through the alignment alone.
    """
    features: list[Tensor] = []
    hooks = [cam.register_forward_pre_hook(lambda _, given: features.append(given[1])) for cam in model.cams]
    with evaluating(model), torch.no_grad():
        model(x[None], y[None], lmbda=model.lambdas[0], side=False)
    for hook in hooks:
        hook.remove()
    swaps = zip(model.cams, features, strict=True)
    hooks = [cam.register_forward_pre_hook(lambda _, given, u=u: (given[0], u.to(given[1]))) for cam, u in swaps]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
