"""Unit tests of the worker's answers."""
