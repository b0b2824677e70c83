"""Unit tests of the extractive engine."""
