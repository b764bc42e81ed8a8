"""The `env` commands: what this machine has, and what to type next."""

LOADING = "loading torch and the decoders in processes of their own; this takes some seconds"
"""What is said before the slow checks; here, so that it can be said before the checks themselves are imported."""
