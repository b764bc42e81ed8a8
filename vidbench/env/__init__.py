"""The `env` commands: what this machine has, and what to type next."""
