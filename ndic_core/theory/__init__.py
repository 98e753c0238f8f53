"""Distributed source coding of small sources: bounds, binning, syndromes, LDPC codes, common information."""
