"""Tests of the web UI's pure parts."""
