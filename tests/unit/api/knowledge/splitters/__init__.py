"""Unit tests of the splitters."""
