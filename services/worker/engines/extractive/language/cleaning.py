"""Makes a passage's text inert: no live markup, no hidden characters, no numbers that look like our citations."""

from __future__ import annotations

import re
import unicodedata

_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#39;", "'"), ("&#x27;", "'"), ("&amp;", "&"))
_INVISIBLE_BLOCK = re.compile(r"<(script|style|iframe|template)\b[^>]*>.*?</\1\s*>|<!--.*?(?:-->|\Z)", re.I | re.DOTALL)
_TAG = re.compile(r"</?[a-zA-Z!?][^<>]*>|<\|[^<>|\n]*\|>|<｜[^<>｜\n]*｜>")
_ADDRESS = re.compile(r"<(https?://[^<>\s]+|[\w.+-]+@[\w.-]+)>")
_TAG_START = re.compile(r"<(?=[a-zA-Z/!?|｜])")
_IMAGE = re.compile(r"!\[[^\[\]]*\](?:\((?:[^()]|\([^()]*\))*\)|\[[^\[\]]*\])")
_LINK = re.compile(r"\[([^\[\]]*)\]\((?:[^()]|\([^()]*\))*\)")
_REFERENCE = re.compile(r"\[([^\[\]\d][^\[\]]*)\]\[[^\[\]]*\]")
_DEFINITION = re.compile(r"^[ \t]{0,3}\[[^\[\]]+\]:[ \t]*\S.*$", re.MULTILINE)
_NUMBER = re.compile(r"[\[【]\s*(\d+(?:\s*[,，、;；–-]\s*\d+)*)\s*[\]】]")
_SPACES = re.compile(r"(?<=\S)[ \t\u3000]{2,}")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~).*$", re.MULTILINE)


def without_entities(text: str) -> str:
    """Undo the escaping that prompt templates apply to angle brackets."""
    for entity, char in _ENTITIES:
        text = text.replace(entity, char)
    return text


def cleaned(text: str) -> str:
    """The text as it may be quoted in an answer."""
    text = "".join(char for char in without_entities(text) if char in "\n\t" or _is_visible(char))
    text = _INVISIBLE_BLOCK.sub("", text)
    for pattern, kept in ((_ADDRESS, r"\1"), (_TAG, ""), (_IMAGE, ""), (_LINK, r"\1"), (_REFERENCE, r"\1")):
        text = _until_stable(pattern, kept, text)
    text = _FENCE.sub("", _DEFINITION.sub("", text))
    text = _TAG_START.sub("＜", text)
    text = _NUMBER.sub(r"［\1］", text)
    text = _SPACES.sub(" ", text)
    return text.replace("![", "！[").replace("](", "] (").replace("][", "] [").strip()


def _is_visible(char: str) -> bool:
    return unicodedata.category(char) not in {"Cc", "Cf", "Co", "Cs"} and not "\ufe00" <= char <= "\ufe0f"


def _until_stable(pattern: re.Pattern[str], kept: str, text: str) -> str:
    """Removing one layer may uncover another ("<<b>script>")."""
    for _ in range(8):
        text, count = pattern.subn(kept, text)
        if not count:
            break
    return text
