"""The embedder's window: how many tokens a passage has, and what is done about too many. Used by `sized`."""
