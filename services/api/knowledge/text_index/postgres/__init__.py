"""Keyword search in PostgreSQL, beside the metadata."""
