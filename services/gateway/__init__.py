"""The gateway: the OpenAI-compatible front. Finds the worker of a model and passes bytes through."""
