"""The `model` commands: networks, weights, evaluation and fine-tuning."""
