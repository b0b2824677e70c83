"""Tests of services/supervisor/sizing/machine."""
