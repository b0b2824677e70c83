"""Text as the index wants it: NFKC, no invisible characters, few blank lines. Every loader cleans what it read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

HAN = "\u2e80-\u2fdf\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_CJK_MARKS = "\u3001-\u3003\u3008-\u3011\u3014-\u301b\uff01-\uff0f\uff1a-\uff1f\u2018-\u201d\u2026\u2014"
_CJK = re.compile(f"[{HAN}{_CJK_MARKS}\u3040-\u30ff]")

# NFKC would turn the punctuation of Chinese prose into ASCII, and every quoted sentence with it.
_NOT_KEPT = re.compile("[^，；：！？（）…]+")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u302a-\u302d\ufe20-\ufe2f"
_MARK_RUN = re.compile(f"([{_MARKS}]{{8}})[{_MARKS}]+")
_SPACES = re.compile(r"[^\S\n]+")
_LINE_EDGES = re.compile(r" ?\n ?")
_BLANK_LINES = re.compile(r"\n{3,}")
_HYPHENATED = re.compile(r"[a-z]-$")

# Radicals that stand for a whole character in PDFs and that NFKC leaves alone (Unicode EquivalentUnifiedIdeograph).
_RADICALS = str.maketrans(
    "⺁⺌⺍⺎⺐⺒⺓⺛⺝⺠⺦⺧⺩⺫⺬⺮⺶⺼⻁⻄⻅⻆⻉⻊⻋⻏⻑⻓⻔⻗⻘⻙⻚⻛⻜⻝⻢⻣⻤⻥⻦⻧⻨⻩⻪⻫⻬⻭⻮⻯⻰⻱⻲\uf0b7\uf0a7\uf06c",
    "厂小小兀尢巳幺旡月民爿牛王目示竹羊肉虎西见角贝足车邑长长门雨青韦页风飞食马骨鬼鱼鸟卤麦黄黾斉齐歯齿竜龙龜亀•▪●",
)


def clean(text: str) -> str:
    """Text in NFKC (punctuation of Chinese prose kept), one kind of line end, at most one blank line in a row.

    Control, zero-width, direction and tag characters, lone surrogates and variation selectors go; so do combining marks
    after the eighth in a row, which no writing needs and which make normalisation slow.
    """
    text = _INVISIBLE.sub("", _LINE_ENDS.sub("\n", text))
    text = _MARK_RUN.sub(r"\1", text).translate(_RADICALS)
    if not unicodedata.is_normalized("NFKC", text):
        text = _NOT_KEPT.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text)
    text = _LINE_EDGES.sub("\n", _SPACES.sub(" ", text))
    return _BLANK_LINES.sub("\n\n", text).strip()


def clean_code(text: str) -> str:
    """Like `clean`, but white space inside lines stays: indentation means something in code."""
    text = _INVISIBLE.sub("", _LINE_ENDS.sub("\n", text)).translate(_RADICALS).expandtabs(4)
    lines = (_NOT_KEPT.sub(lambda run: unicodedata.normalize("NFKC", run[0]), line) for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(line.rstrip() for line in lines)).strip("\n")


def clean_line(text: str) -> str:
    """Like `clean`, on one line."""
    return join_lines(clean(text).split("\n"))


def join_lines(lines: Iterable[str]) -> str:
    """One line of several: no space beside Chinese characters; between words a space, or a mended hyphen."""
    joined: list[str] = []
    last = ""
    for line in map(str.strip, lines):
        if not line:
            continue
        if not last:
            joined.append(line)
        elif _HYPHENATED.search(last) and line[0].islower():
            joined[-1] = last[:-1]
            joined.append(line)
        elif is_cjk(last[-1]) or is_cjk(line[0]):
            joined.append(line)
        else:
            joined.append(f" {line}")
        last = joined[-1]
    return "".join(joined)


def is_cjk(char: str) -> bool:
    """Whether a character belongs to Chinese or Japanese writing, its punctuation included."""
    return _CJK.match(char) is not None
