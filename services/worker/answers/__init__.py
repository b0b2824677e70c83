"""Answers on their way from an engine to a client: run, put together, streamed. Used by the routes."""
