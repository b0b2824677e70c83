"""One process that runs engines and serves them on OpenAI's wire."""
