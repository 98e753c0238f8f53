"""Preparation of data sets: official archives to the folders and list files that `ndic_core.data` reads."""
