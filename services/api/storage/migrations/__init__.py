"""How the metadata database came to its present shape, one revision a file; run by `storage.migrate`."""
