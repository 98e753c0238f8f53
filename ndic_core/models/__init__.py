"""The learned codecs: transforms, entropy models and alignment, assembled per paper."""
