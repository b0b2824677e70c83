"""Tests of services.api.inference."""
