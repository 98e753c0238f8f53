"""Real bits: range coding, the file format, tiles, and what a coder must know of the weights."""
