"""The one place where CompressAI is imported: it takes seconds and warns about its own dependencies."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from compressai.ans import BufferedRansEncoder, RansDecoder
    from compressai.entropy_models import EntropyBottleneck, GaussianConditional
    from compressai.entropy_models.entropy_models import pmf_to_quantized_cdf
    from compressai.layers import GDN

__all__ = [
    "GDN",
    "BufferedRansEncoder",
    "EntropyBottleneck",
    "GaussianConditional",
    "RansDecoder",
    "pmf_to_quantized_cdf",
]
