"""Engines that relay to a provider."""
