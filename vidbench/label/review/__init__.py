"""The page on which people finish a labelled set."""
