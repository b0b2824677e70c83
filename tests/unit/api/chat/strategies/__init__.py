"""Tests of services.api.chat.strategies."""
