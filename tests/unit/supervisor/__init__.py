"""Unit tests of services/supervisor."""
