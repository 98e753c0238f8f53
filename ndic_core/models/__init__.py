"""The models: transforms, priors and alignment, put together per paper, and the codec they share."""

from ndic_core.catalogue import CATALOGUE, MODELS, ModelInfo
from ndic_core.models.factory import build_model

__all__ = ["CATALOGUE", "MODELS", "ModelInfo", "build_model"]
