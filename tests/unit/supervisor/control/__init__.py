"""Unit tests of services/supervisor/control."""
