"""Entropy coding: range coder, file format, tiles, and the coding state of given weights."""
