"""Labelling: from one's own videos to AVA-format sets."""
