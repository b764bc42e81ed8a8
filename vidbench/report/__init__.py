"""The `report` command: one self-contained page from run folders alone."""
