"""The attacks themselves, a file per family."""
