"""Numbers as a worksheet shows them, and names that say nothing of a sheet. For the loaders of Excel, old and new."""

from __future__ import annotations

import re

_DEFAULT_SHEET = re.compile(r"(?i)(sheet|工作表|feuil|tabelle)\s*\d*")
_PERCENT = re.compile(r"0(?:\.(0+))?%")
_FIXED = re.compile(r"#,##0(?:\.(0+))?|0\.(0+)")


def is_default_sheet(name: str) -> bool:
    """Whether a sheet bears the name that Excel gave it."""
    return _DEFAULT_SHEET.fullmatch(name) is not None


def shown_number(value: float, shape: str) -> str:
    """A number in its number format, as far as that is a percentage, fixed decimals or thousands; else short."""
    percent = _PERCENT.search(shape)
    if percent:
        return f"{value * 100:.{len(percent[1] or '')}f}%"
    fixed = _FIXED.search(shape)
    if fixed:
        comma = "," if shape[fixed.start()] == "#" else ""
        return f"{value:{comma}.{len(fixed[1] or fixed[2] or '')}f}"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.10g}"
