"""Which characters bytes are: by a font's character set, a code page, the bytes themselves. For RTF and old Excel."""

from __future__ import annotations

import codecs
import re

_BY_FONT = {
    77: "mac_roman",
    128: "cp932",
    129: "cp949",
    130: "johab",
    134: "gb18030",
    136: "big5hkscs",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
    255: "cp850",
}
_BY_PAGE = {936: "gb18030", 950: "big5hkscs", 54936: "gb18030", 65001: "utf-8", 10000: "mac_roman", 10008: "gb18030"}
_DOUBLE = frozenset({"gb18030", "big5hkscs", "cp932", "cp949", "johab", "utf-8"})
_PAIR = re.compile(rb"[\x81-\xfe]{2}")
_FALLBACK = "cp1252"


def of_font(charset: int) -> str | None:
    """The codec of a font's character set; None where it says nothing."""
    return _BY_FONT.get(charset)


def of_page(number: int) -> str | None:
    """The codec of a code page; None for one that Python does not know."""
    name = _BY_PAGE.get(number, f"cp{number}")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None


def decoded(raw: bytes, font: str | None, page: str | None) -> str:
    """The characters of some bytes.

    A font that says nothing is read in the code page. A Western byte beside an ASCII letter could be half of a Chinese
    character, so where only the page is of two bytes, a pair of high bytes must be seen. Without a page, UTF-8 and
    GB18030 are tried, which programs write that know nothing of pages.
    """
    if raw.isascii():
        return raw.decode("ascii")
    if font is not None:
        return raw.decode(font, "replace")
    for name in (page,) if page is not None else ("utf-8", "gb18030"):
        if name not in _DOUBLE:
            return raw.decode(name, "replace")
        if _PAIR.search(raw):
            try:
                return raw.decode(name)
            except UnicodeDecodeError:
                continue
    return raw.decode(_FALLBACK, "replace")
