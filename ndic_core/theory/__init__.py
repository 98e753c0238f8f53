"""Distributed source coding in worlds small enough to compute: bounds, binning, syndromes, common information."""
