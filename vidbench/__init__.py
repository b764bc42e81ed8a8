"""Evaluate, attack, fine-tune and label data for video action recognition."""

__version__ = "0.1.0"
