"""The `attack` commands: threat models, attacks and robustness figures."""
