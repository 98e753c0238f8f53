"""Stereo pairs to learn from: real ones from disk and generated ones."""
