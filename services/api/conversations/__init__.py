"""Conversations: threads and their turns."""
