"""Tests of services.api.chat.memory."""
