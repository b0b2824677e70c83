"""The machine: what it has, and how that is read."""
