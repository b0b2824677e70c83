"""What this installation offers: its models."""
