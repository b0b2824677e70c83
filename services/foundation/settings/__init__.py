"""The one typed tree of settings, and the only reader of YAML and environment."""
