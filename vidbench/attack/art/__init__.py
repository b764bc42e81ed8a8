"""What the Adversarial Robustness Toolbox offers for clips: a table and settings; `art_bridge` runs it."""
