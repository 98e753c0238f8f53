"""Training: the published recipe and ours, on one device or several."""
