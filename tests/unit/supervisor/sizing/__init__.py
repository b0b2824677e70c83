"""Tests of services/supervisor/sizing."""
