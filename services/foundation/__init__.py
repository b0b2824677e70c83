"""What every process needs and nothing more."""
