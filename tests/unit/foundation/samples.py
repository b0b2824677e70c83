"""One sample of every failure class, its facts filled in from the placeholders of its sentence."""

from __future__ import annotations

import string

from services.foundation.errors import ChatchatError, Fact, every_error

CLASSES = sorted(
    (found for found in every_error() if found.__module__.startswith("services.")), key=lambda found: found.code
)


def placeholders(template: str) -> set[str]:
    """The field names of a sentence."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def sample(error_class: type[ChatchatError]) -> ChatchatError:
    """A failure of that class with every fact its sentence asks for, Chinese and numbers among them."""
    facts: dict[str, Fact] = {
        name: 7 if name.endswith(("_bytes", "_seconds", "tokens", "limit")) else f"值-{name}"
        for name in placeholders(error_class.sentence)
    }
    return error_class(**facts)
