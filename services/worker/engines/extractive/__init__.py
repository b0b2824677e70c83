"""The built-in chat engine: answers with the sentences of the given passages. No weights, no invention."""
