"""The network: files and streams that survive broken lines, and reasons where they do not."""
