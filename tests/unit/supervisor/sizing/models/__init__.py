"""Tests of services/supervisor/sizing/models."""
