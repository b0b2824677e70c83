"""Formats of marked-up text: reStructuredText, Org, LaTeX, XML, SVG."""
