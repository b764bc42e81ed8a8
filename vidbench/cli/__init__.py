"""The command line: the only room that knows there is a terminal."""
