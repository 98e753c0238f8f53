"""The generated street: synthetic stereo pairs with ground-truth disparity, without a download."""

from ndic_core.data.street.generate import Street, StreetPair

__all__ = ["Street", "StreetPair"]
