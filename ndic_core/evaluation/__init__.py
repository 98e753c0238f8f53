"""Evaluation: measured rates, rate–distortion curves, complexity, and what alignment finds."""
