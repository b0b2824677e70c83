"""Unit tests of the transformers engine: what needs no torch."""
