"""The attacks' names, for completion and lists that must not import torch."""

ATTACK_NAMES = ("fgsm", "pgd")
