"""The `data` commands: lists, data sets and their files."""
