"""Unit tests of the loaders."""
