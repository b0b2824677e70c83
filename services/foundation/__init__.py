"""What every process needs and nothing more."""

VERSION = "0.3.0"
