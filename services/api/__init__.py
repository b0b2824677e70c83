"""The Chatchat API: knowledge bases, chat and conversations."""
