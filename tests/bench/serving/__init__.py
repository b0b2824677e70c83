"""Benches of the serving plane: an engine alone, through the gateway, and through any other front, in one run."""
