"""Codecs without side information: the baselines."""

from torch import Tensor

from ndic_core.models.bands import synthesised
from ndic_core.models.codec import Codec, Lambda
from ndic_core.models.entropy_models import FactorizedPrior, ScaleHyperprior
from ndic_core.models.gain import scaled
from ndic_core.models.transforms import analysis_3, analysis_4, synthesis_3, synthesis_4


class Baseline(Codec):
    """An analysis, a prior and a synthesis; `y` is ignored.

    x ── analysis_x ── h ── prior_x ── ĥ ── synthesis_x ── x̂
    """

    def reconstruct(self, h_x: Tensor, y: Tensor | None, inverse: Tensor | None = None) -> Tensor:
        return synthesised(self.synthesis_x, scaled(h_x, inverse))


class BLS17(Baseline):
    """Three layers and a factorised prior: Ballé, Laparra & Simoncelli, "End-to-end Optimized Image Compression",
    ICLR 2017, arXiv 1611.01704.

    Example:
        >>> import torch
        >>> out = BLS17(num_filters=8).eval()(torch.rand(1, 3, 32, 48))
        >>> out["x_hat"].shape, out["likelihoods"]["x"].shape
        (torch.Size([1, 3, 32, 48]), torch.Size([1, 8, 2, 3]))
    """

    name = "bls17"

    def __init__(self, num_filters: int = 192, lmbda: Lambda = 3e-5):
        super().__init__(num_filters, lmbda)
        self.analysis_x = analysis_3(num_filters)
        self.prior_x = FactorizedPrior(num_filters)
        self.synthesis_x = synthesis_3(num_filters)


class BMSHJ18Factorized(Baseline):
    """Four layers and a factorised prior: the factorised-prior model of Ballé et al. 2018, arXiv 1802.01436.

    The matched baseline: the same transforms as `ndic_bls17` and `cross_attention`, without side information.

    Example:
        >>> import torch
        >>> out = BMSHJ18Factorized(num_filters=8).eval()(torch.rand(1, 3, 32, 48))
        >>> out["likelihoods"]["x"].shape
        torch.Size([1, 8, 2, 3])
    """

    name = "bmshj18_factorized"

    def __init__(self, num_filters: int = 192, lmbda: Lambda = 3e-5):
        super().__init__(num_filters, lmbda)
        self.analysis_x = analysis_4(num_filters)
        self.prior_x = FactorizedPrior(num_filters)
        self.synthesis_x = synthesis_4(num_filters, num_filters)


class BMSHJ18(Baseline):
    """Four layers and a scale hyperprior: Ballé, Minnen, Singh, Hwang & Johnston, "Variational image compression with a
    scale hyperprior", ICLR 2018, arXiv 1802.01436, figure 4, but for two layers of the hyper-analysis (see
    `ScaleHyperprior`).

    Example:
        >>> import torch
        >>> out = BMSHJ18(num_filters=8).eval()(torch.rand(1, 3, 64, 128))
        >>> out["likelihoods"]["x"].shape, out["likelihoods"]["z"].shape
        (torch.Size([1, 8, 4, 8]), torch.Size([1, 8, 1, 2]))
    """

    name = "bmshj18"

    def __init__(self, num_filters: int = 192, lmbda: Lambda = 3e-5):
        super().__init__(num_filters, lmbda)
        self.analysis_x = analysis_4(num_filters)
        self.prior_x = ScaleHyperprior(num_filters)
        self.synthesis_x = synthesis_4(num_filters, num_filters)
