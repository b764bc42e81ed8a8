"""The checks, a file per group: each a pure function of recorded facts."""
