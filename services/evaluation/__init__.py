"""Measures a running stack: asks a question set over the HTTP API, and keeps and compares the figures."""
