"""Retrieval and refusals on the sets of corpora/retrieval, all through the product's API. Each module is a command."""
