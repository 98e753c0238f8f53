"""Analysis and synthesis transforms: convolutions with GDN between them."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from ndic_core.models.gdn import GDN


def channels_last(features: Tensor) -> Tensor:
    """(B, C, H, W) in the channels-last memory format, in which convolutions on a CPU are several times faster.

    Convolutions of the same values in two memory formats can differ in the last bit, and decoding must reproduce the
    sender's values. So the strides are always the same, also where a side of 1 leaves them undetermined and
    `Tensor.contiguous` would keep those it finds.
    """
    _, c, h, w = features.shape
    if features.stride() == (c * h * w, 1, c * w, c):
        return features
    return features.clone(memory_format=torch.channels_last)


def sequence(**layers: nn.Module) -> nn.Sequential:
    """The layers one after the other, under their names."""
    return nn.Sequential(OrderedDict(layers))


def conv(in_channels: int, out_channels: int, kernel: int, stride: int, bias: bool = True) -> nn.Conv2d:
    """A convolution that divides the sides of its input by `stride`."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=bias)


def deconv(in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.ConvTranspose2d:
    """A transposed convolution that multiplies the sides of its input by `stride`."""
    return nn.ConvTranspose2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, output_padding=stride - 1)


def analysis_3(num_filters: int) -> nn.Sequential:
    """(B, 3, H, W) → (B, num_filters, H/16, W/16) in three layers (Ballé et al. 2017, section 3 and figure 1)."""
    n = num_filters
    return sequence(
        conv1=conv(3, n, 9, 4),
        gdn1=GDN(n),
        conv2=conv(n, n, 5, 2),
        gdn2=GDN(n),
        conv3=conv(n, n, 5, 2),
    )


def synthesis_3(num_filters: int) -> nn.Sequential:
    """(B, num_filters, h, w) → (B, 3, 16h, 16w) in three layers, the reverse of `analysis_3`."""
    n = num_filters
    return sequence(
        deconv1=deconv(n, n, 5, 2),
        igdn1=GDN(n, inverse=True),
        deconv2=deconv(n, n, 5, 2),
        igdn2=GDN(n, inverse=True),
        deconv3=deconv(n, 3, 9, 4),
    )


def analysis_4(num_filters: int) -> nn.Sequential:
    """(B, 3, H, W) → (B, num_filters, H/16, W/16) in four layers (Ballé et al. 2018, figure 4)."""
    n = num_filters
    return sequence(
        conv1=conv(3, n, 5, 2),
        gdn1=GDN(n),
        conv2=conv(n, n, 5, 2),
        gdn2=GDN(n),
        conv3=conv(n, n, 5, 2),
        gdn3=GDN(n),
        conv4=conv(n, n, 5, 2),
    )


def synthesis_4(in_channels: int, num_filters: int, joined: int = 0) -> nn.Sequential:
    """(B, in_channels, h, w) → (B, 3, 16h, 16w) in four stages, so that two decoders can run stage by stage.

    Args:
        in_channels: channels of the latent (twice `num_filters` where common information is appended).
        num_filters: channels between the stages.
        joined: additional input channels of stages 2 to 4, for features of y.
    """
    n, wide = num_filters, num_filters + joined

    def stage(channels: int) -> nn.Sequential:
        return sequence(deconv=deconv(channels, n, 5, 2), igdn=GDN(n, inverse=True))

    return sequence(
        stage1=stage(in_channels),
        stage2=stage(wide),
        stage3=stage(wide),
        stage4=deconv(wide, 3, 5, 2),
    )
