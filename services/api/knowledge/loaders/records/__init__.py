"""Formats of records and settings: JSON, YAML, notebooks, subtitles, notes, logs, configuration."""
