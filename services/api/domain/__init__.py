"""Nouns and protocols; standard library and our own failures only."""
