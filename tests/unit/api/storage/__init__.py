"""Unit tests of api/storage."""
