"""Augmentation of training clips: each clip by itself, then pairs of clips of a batch."""
