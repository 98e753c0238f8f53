"""Codecs with feature alignment: the decoders of x and y run stage by stage, and y's features are aligned with x's."""

import math

import torch
from torch import Tensor, nn

from ndic_core.catalogue import DOWNSAMPLING, STRIDES
from ndic_core.errors import NDICError
from ndic_core.models.codec import Lambda, evaluating
from ndic_core.models.coding.tiling import Tiling
from ndic_core.models.cross_attention import CrossAttentionModule
from ndic_core.models.entropy_models import FactorizedPrior
from ndic_core.models.gain import scaled
from ndic_core.models.ndic import NDIC, join
from ndic_core.models.transforms import channels_last, synthesis_4


class AlignedNDIC(NDIC):
    """NDIC with y's features aligned with x's after each of the first three stages of their decoders.

        [ĥ_x, w] ── stage1 ──┬── [·, ·] ── stage2 ──┬── [·, ·] ── stage3 ──┬── [·, ·] ── stage4 ── x̂
                           CAM 1                  CAM 2                  CAM 3
        [h_y, w] ── stage1 ──┴──────────── stage2 ──┴──────────── stage3 ──┴──────────── stage4 ── ŷ

    Subclasses build the priors and `cams`: three modules with `forward(t, u)` and `attention(t, u)`.
    """

    cams: nn.ModuleList

    def __init__(self, num_filters: int, lmbda: Lambda, **options):
        super().__init__(num_filters, lmbda, **options)
        self.synthesis_x = synthesis_4(2 * num_filters, num_filters, joined=num_filters)

    def synthesise(self, h_x: Tensor, h_y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        t, u = self._decode_stages(h_x, h_y, w)
        return self.synthesis_x.stage4(t), self.synthesis_y.stage4(u)

    def reconstruct(self, h_x: Tensor, y: Tensor, inverse: Tensor | None = None) -> Tensor:
        y = channels_last(y)
        t, _ = self._decode_stages(scaled(h_x, inverse), self.analysis_y(y), self.common_information(y))
        return self.synthesis_x.stage4(t)

    @torch.no_grad()
    def attention_maps(self, x: Tensor, y: Tensor, lmbda: float | Tensor | None = None) -> list[Tensor]:
        """The attention weights of each layer, for images (B, 3, H, W) in [0, 1]; arguments and errors as of `forward`.

        Returns:
            Three tensors, at 1/8, 1/4 and 1/2 of the image size; see `CrossAttentionModule.attention`.
        """
        maps: list[Tensor] = []
        hooks = [
            cam.register_forward_hook(lambda cam, features, _: maps.append(cam.attention(*features)))
            for cam in self.cams
        ]
        try:
            with evaluating(self):
                self(x, y, lmbda=lmbda, side=False)
        finally:
            for hook in hooks:
                hook.remove()
        return maps

    def _decode_stages(self, h_x: Tensor, h_y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """Features of both decoders after three stages."""
        t, u = join(h_x, w), join(h_y, w)
        for stage_x, stage_y, cam in zip(self.synthesis_x, self.synthesis_y, self.cams, strict=False):
            t, u = stage_x(t), stage_y(u)
            t = join(t, cam(t, u))
        return t, u


class CrossAttention(AlignedNDIC):
    """Alignment by cross-attention between patches (Mital et al. 2022, "Neural Distributed Image Compression with
    Cross-Attention Feature Alignment", arXiv 2207.08489, figure 2).

    The CAMs have patches of a fixed size, so the weights fit images of one size; `encode` and `decode` divide other
    images into tiles of it.

    Args:
        num_filters, lmbda: as of `Codec`.
        image_size: height and width of the images, multiples of 16 and of 8 * `patch_grid`.
        embed_dim, heads, head_dim, patch_grid, dropout: see `CrossAttentionModule`.

    Raises:
        NDICError: `image_size` does not divide into patches.

    Example:
        >>> import torch
        >>> model = CrossAttention(num_filters=8, image_size=(32, 64), embed_dim=16, heads=2).eval()
        >>> x, y = torch.rand(2, 1, 3, 32, 64)
        >>> model(x, y)["x_hat"].shape
        torch.Size([1, 3, 32, 64])
        >>> [tuple(layer.shape) for layer in model.attention_maps(x, y)]
        [(1, 2, 4, 4, 4, 4), (1, 2, 4, 4, 4, 4), (1, 2, 4, 4, 4, 4)]
    """

    name = "cross_attention"

    def __init__(
        self,
        num_filters: int = 192,
        lmbda: Lambda = 3e-5,
        image_size: tuple[int, int] = (128, 256),
        embed_dim: int = 256,
        heads: int = 8,
        head_dim: int | None = None,
        patch_grid: int = 4,
        dropout: float = 0.1,
    ):
        step = math.lcm(DOWNSAMPLING, STRIDES[0] * patch_grid)
        pair = isinstance(image_size, (tuple, list)) and len(image_size) == 2
        if not pair or not all(isinstance(side, int) and side >= step and side % step == 0 for side in image_size):
            raise NDICError(
                f"cross_attention needs an image_size of two multiples of {step} (height, width) with a patch grid "
                f"of {patch_grid}; got {image_size}"
            )
        height, width = image_size
        head_dim = head_dim or embed_dim
        attention = dict(embed_dim=embed_dim, heads=heads, head_dim=head_dim, patch_grid=patch_grid, dropout=dropout)
        super().__init__(num_filters, lmbda, image_size=(height, width), **attention)
        self.prior_x = FactorizedPrior(num_filters)
        self.prior_y = FactorizedPrior(num_filters, transmitted=False)
        self.cams = nn.ModuleList(
            CrossAttentionModule((height // stride, width // stride), embed_dim, heads, head_dim, patch_grid, dropout)
            for stride in STRIDES
        )

    @classmethod
    def key_shapes(cls, config: dict) -> dict[str, tuple[int, ...]]:
        shapes, width = super().key_shapes(config), config["embed_dim"]
        for i, stride in enumerate(STRIDES):
            rows, columns = (side // stride // config["patch_grid"] for side in config["image_size"])
            shapes[f"cams.{i}.embed_x.weight"] = (width, rows * columns)
            shapes[f"cams.{i}.to_q.weight"] = (config["heads"] * config["head_dim"], width)
        return shapes

    def tiling(self, height: int, width: int) -> Tiling:
        return Tiling(height, width, self.config["image_size"])

    def _sizes_allowed(self) -> str:
        height, width = self.config["image_size"]
        return f"with these weights accepts images of exactly {height} × {width}"
