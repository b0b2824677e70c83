"""Inline reStructuredText: roles, links, emphasis and literals as the words a reader of the page sees."""

from __future__ import annotations

import re
from collections.abc import Mapping

_INLINE = re.compile(
    r"``(?P<literal>[^`\n](?:[^`\n]|`(?!`)){0,2000}?)``"
    r"|(?<!\w)(?::[\w.+:-]{1,60}:)`(?P<role>[^`]{1,2000})`"
    r"|`(?P<quoted>[^`]{1,2000})`(?::[\w.+:-]{1,60}:|_{0,2})"
    r"|\*\*(?P<strong>[^\s*](?:[^*]{0,1000}[^\s*])?)\*\*"
    r"|\*(?P<emphasis>[^\s*](?:[^*]{0,1000}[^\s*])?)\*"
    r"|\|(?P<substitution>[^\s|](?:[^|\n]{0,100}[^\s|])?)\|_{0,2}"
    r"|(?P<note>\[[\w#*.-]{1,60}\])_"
    r"|(?P<word>[A-Za-z0-9][\w.-]{0,80}?)_{1,2}(?=[\s,.;:!?)\]，。；：、！？）]|$)"
    r"|\\(?P<escaped>.)",
    re.DOTALL,
)
_TARGET = re.compile(r"\s{0,50}<[^<>]{0,1000}>$")
_DOTTED = re.compile(r"~(?:[\w-]{1,80}\.){0,20}")


def words_of(text: str, substitutions: Mapping[str, str]) -> str:
    """The text without its marks."""
    return _INLINE.sub(lambda found: _shown(found, substitutions), text)


def _shown(found: re.Match[str], substitutions: Mapping[str, str]) -> str:
    kind, inner = str(found.lastgroup), str(found[str(found.lastgroup)])
    match kind:
        case "role":
            return _titled(_DOTTED.sub("", inner, count=1).removeprefix("!"))
        case "quoted":
            return _titled(inner)
        case "substitution":
            return substitutions.get(inner, found[0])
        case "escaped":
            return "" if inner.isspace() else inner
    return inner


def _titled(text: str) -> str:
    """The title of `title <target>`; the target itself when there is no title."""
    title = _TARGET.sub("", text)
    return title or text.strip("<> ")
