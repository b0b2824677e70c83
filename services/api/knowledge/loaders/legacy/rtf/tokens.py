"""Takes RTF apart: braces, control words with their number, runs of bytes. Binary parts are stepped over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    rb"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,10})? ?"
    rb"|(?P<hex>(?:\\'[0-9a-fA-F]{2})+)"
    rb"|\\(?P<literal>[\\{}])"
    rb"|\\(?P<symbol>[^a-zA-Z\\{}])"
    rb"|(?P<brace>[{}])"
    rb"|(?P<text>[^\\{}\r\n\0]+)"
    rb"|[\r\n\0]+|\\",
    re.DOTALL,
)
_ESCAPE = b"\\'"
_BINARY = "bin"


@dataclass(frozen=True, slots=True)
class Token:
    """A control word, symbol or brace (`word`, with its `number`), or bytes of text (`raw`)."""

    word: str = ""
    number: int | None = None
    raw: bytes = b""


def tokens(content: bytes) -> Iterator[Token]:
    """The tokens in order."""
    at = 0
    while found := _TOKEN.match(content, at):
        at = found.end()
        match found.lastgroup:
            case "word" | "number":
                word = found["word"].decode("ascii")
                number = int(found["number"]) if found["number"] is not None else None
                if word == _BINARY:
                    at += max(number or 0, 0)
                else:
                    yield Token(word, number)
            case "hex":
                yield Token(raw=bytes.fromhex(found["hex"].replace(_ESCAPE, b"").decode("ascii")))
            case "literal" | "text":
                yield Token(raw=found[found.lastgroup])
            case "symbol" | "brace":
                yield Token(found[found.lastgroup].decode("latin-1"))
