"""Chat models and embedders, reached through the gateway."""
