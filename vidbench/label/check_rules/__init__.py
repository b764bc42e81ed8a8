"""The rules of `label check`, a file per kind of file that a set has."""
