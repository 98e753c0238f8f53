"""Data sets of stereo pairs: image files and the generated street."""
