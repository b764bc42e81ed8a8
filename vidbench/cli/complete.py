"""Shell completion of names, from tables alone: no torch while a user waits for the Tab key."""

from __future__ import annotations


def complete_model(incomplete: str) -> list[str]:
    """Model names of the catalogue."""
    from vidbench.model.zoo import MODELS

    return [name for name in MODELS.names() if name.startswith(incomplete)]


def complete_persons(incomplete: str) -> list[str]:
    """Names of the catalogue's detectors of persons."""
    from vidbench.model.zoo import MODELS

    return [name for name in MODELS.names() if name.startswith(incomplete) and MODELS.get(name).task == "persons"]


def complete_attack(incomplete: str) -> list[str]:
    """Attack names of the catalogue."""
    from vidbench.attack.names import ATTACK_NAMES

    return [name for name in ATTACK_NAMES if name.startswith(incomplete)]


def complete_suite(incomplete: str) -> list[str]:
    """Names of suites of attacks."""
    from vidbench.attack.names import SUITES

    return [name for name in SUITES if name.startswith(incomplete)]


def complete_sources(incomplete: str) -> list[str]:
    """Names of the public sources."""
    from vidbench.data.sources import SOURCES

    return [name for name in SOURCES.names() if name.startswith(incomplete)]


def complete_decoder(incomplete: str) -> list[str]:
    """Names of the decoders."""
    from vidbench.video.decoder import AUTO, DECODERS

    return [name for name in (*DECODERS.names(), AUTO) if name.startswith(incomplete)]


def complete_protocol(incomplete: str) -> list[str]:
    """Names of test protocols."""
    from vidbench.model.protocol import RULES

    return [name for name in RULES if name.startswith(incomplete)]


def complete_defence(incomplete: str) -> list[str]:
    """Names of defences; of several the last one."""
    from vidbench.model.defence_names import DEFENCES

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in DEFENCES.names() if name.startswith(last)]


def complete_person_detector(incomplete: str) -> list[str]:
    """Names of what finds persons for labelling."""
    from vidbench.label.detectors import DETECTORS

    return [name for name in DETECTORS.names() if name.startswith(incomplete)]


def complete_tracker(incomplete: str) -> list[str]:
    """Names of trackers."""
    from vidbench.label.trackers import TRACKERS

    return [name for name in TRACKERS.names() if name.startswith(incomplete)]
