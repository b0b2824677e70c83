"""Tests of services.wire."""
