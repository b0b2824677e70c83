"""Unit tests of api/knowledge."""
