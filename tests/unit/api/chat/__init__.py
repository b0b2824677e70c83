"""Tests of services.api.chat."""
