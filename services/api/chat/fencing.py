"""Text of documents, and of models that read them, made inert: in a prompt it is material and nothing else.

Angle brackets and ampersands are escaped, so that no text can end the fence it stands in. Control tokens of chat
models (`<|im_end|>`, `[INST]`, …), which tokenizers find in any text, are broken. What nobody sees is taken out:
characters that turn the direction of writing, have no width, or are tags.
"""

from __future__ import annotations

import html
import re
import unicodedata

_BRACKETED = (
    r"/?(?:INST|SYSTEM_PROMPT|MODEL_SETTINGS|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|ARGS|CALL_ID|THINK"
    r"|IMG|IMG_BREAK|IMG_END|PREFIX|MIDDLE|SUFFIX|AUDIO|BEGIN_AUDIO|TRANSCRIBE|STREAMING_PAD"
    r"|CLS|SEP|PAD|UNK|[gs]?MASK|control_\d+|unused\d+)"
)
"""Tokens in square brackets: of Mistral's models, ChatGLM and BERT."""
_SQUARE = re.compile(rf"\[({_BRACKETED})\]")
_TILDED = re.compile(r"\]~(!?b)([\[\]])|\[e~\[")
"""MiniMax's."""
_ANGLED = re.compile(
    r"<(?=[|｜][^<>\n]{1,80}[|｜]>"
    r"|/?(?:s|bos|eos|pad|unk|mask|sop|eop|think|tool_call|tool_response|start_of_turn|end_of_turn)>"
    r"|</?SYS>>|(?:TOKENS_UNUSED|reserved|unused|SPECIAL)_?\d+>)",
)
_WIDE = str.maketrans("[]", "［］")
_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
_TAG = re.compile(r"<(?=[/|｜<]?\w|[|｜])")
_MARK = re.compile(r"\[(\s*\d[\d\s,，、;；–-]*)\]")


def fenced(text: str) -> str:
    """A document's text as it may stand in a prompt: `inert`, and no number in brackets that reads as a citation."""
    return _MARK.sub(r"［\1］", inert(text))


def inert(text: str) -> str:
    """Text of others as it may stand in a prompt."""
    return html.escape(_unbracketed(visible(text)), quote=False)


def without_control_tokens(text: str) -> str:
    """Text that may hold angle brackets of its own, the control tokens of chat models in it broken."""
    return _ANGLED.sub("＜", _unbracketed(text))


def untagged(text: str) -> str:
    """A line that a model wrote, without anything in it that could end the fence it is put into."""
    return _TAG.sub("＜", _unbracketed(visible(" ".join(text.split()))))


def _unbracketed(text: str) -> str:
    return _TILDED.sub(lambda found: found[0].translate(_WIDE), _SQUARE.sub(r"［\1］", text))


def visible(text: str) -> str:
    """The text without characters that nobody sees; line ends and tabs stay."""
    return "".join(char for char in text if char in "\n\t" or _is_visible(char))


def _is_visible(char: str) -> bool:
    if char.isascii():
        return char.isprintable()
    return unicodedata.category(char) not in _INVISIBLE and not "\ufe00" <= char <= "\ufe0f"
