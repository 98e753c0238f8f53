"""Checkpoints: files of this package, the authors' released files, and warm starts from simpler models."""
