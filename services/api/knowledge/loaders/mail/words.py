"""Header values → text: folded lines, encoded words (RFC 2047), and the ways in which mail programs get them wrong."""

from __future__ import annotations

import binascii
import re

from services.api.knowledge.loaders.reading.charsets import text_of
from services.api.knowledge.loaders.reading.cleaning import clean_line

_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


def header_text(value: str) -> str:
    """A header's value as a person reads it, on one line."""
    return clean_line(decode_words(value))


def decode_words(value: str) -> str:
    """Text with its encoded words decoded.

    Neighbouring words of one charset are joined as bytes first: many programs cut a character in two between them.
    """
    decoded: list[str] = []
    held, charset, end = b"", "", 0
    for word in _WORD.finditer(value):
        between = value[end : word.start()]
        named = word[1].partition("*")[0].lower()
        if held and (between.strip() or named != charset):
            decoded.append(text_of(held, charset)[0])
            held = b""
        if between.strip() or not end:
            decoded.append(between)
        held += _bytes_of(word[2], word[3])
        charset, end = named, word.end()
    if held:
        decoded.append(text_of(held, charset)[0])
    return "".join([*decoded, value[end:]])


def _bytes_of(kind: str, text: str) -> bytes:
    if kind in "qQ":
        return binascii.a2b_qp(text.encode("utf-8", "replace"), header=True)
    letters = _NOT_BASE64.sub("", text)
    letters = letters[:-1] if len(letters) % 4 == 1 else letters
    return binascii.a2b_base64(letters + "=" * (-len(letters) % 4))
