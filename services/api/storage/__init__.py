"""The metadata database: bases, files, chunks and conversations, reached through units of work."""
