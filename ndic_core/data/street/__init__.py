"""The generated street: stereo pairs with their true disparity, without a download."""

from ndic_core.data.street.generate import Street, StreetPair

__all__ = ["Street", "StreetPair"]
