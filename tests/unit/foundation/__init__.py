"""Tests of services.foundation."""
