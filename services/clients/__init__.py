"""Typed HTTP clients; they decode failures back into the class that was raised."""
