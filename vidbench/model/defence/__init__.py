"""Defences: what happens to clips before a network sees them, a file per kind."""
