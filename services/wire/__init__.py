"""The messages that cross a process boundary."""
