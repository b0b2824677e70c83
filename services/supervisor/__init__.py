"""Processes on this machine: what to start, in what state it is, and how it ends. `startup.py` is the caller."""
