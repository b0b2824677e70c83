"""Makes question sets from a base's own passages: by rules, or by asking a chat model."""
