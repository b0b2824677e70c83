"""Tests of services.api.domain."""
