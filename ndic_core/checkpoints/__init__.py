"""Weights on disk: our own files, the published ones, and starting a training from either."""
