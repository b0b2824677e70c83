"""Unit tests of api/knowledge/text_index."""
