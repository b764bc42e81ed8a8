"""The names of attacks and suites, for completion and lists that must not import torch."""

ATTACK_NAMES = (
    "fgsm", "r-fgsm", "pgd", "pgd-l1-dense", "pgd-l1-argmax", "mi-fgsm", "noise",
    "apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square", "autoattack",
    "cw", "ddn", "fmn", "deepfool",
    "one-frame", "sparse", "flicker", "flicker-universal", "universal", "patch", "patch-universal", "border",
)  # fmt: skip

SUITES: dict[str, str] = {
    "quick": "FGSM, PGD and APGD-CE: a first look in minutes",
    "standard": "AutoAttack's cascade: the bound to trust",
    "video": "frames, flicker, border, patch, one perturbation for all clips, and Square over time",
    "robustart": "FGSM, PGD in L1, L2 and Linf, and C&W: the columns of RobustART's table",
}
