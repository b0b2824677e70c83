"""Detokenizer: tokens to text, piece by piece, never a part of a character. Used by the engine for each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BROKEN = "�"
_PATIENCE = 8
"""Tokens after which an unfinished character is given up: none has more than four bytes."""


class Detokenizer:
    """Turns the tokens of one answer into text.

    A token may be a part of a character, and its text may depend on the one before it; so each is read together with
    the last piece, and text that ends in an unfinished character waits. Bytes that are no character are left out.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._before: list[int] = []
        self._waiting: list[int] = []

    def feed(self, ident: int) -> str:
        """The text that is certain now."""
        self._waiting.append(ident)
        known, whole = self._text(self._before), self._text(self._before + self._waiting)
        if whole.endswith(_BROKEN) and len(self._waiting) < _PATIENCE:
            return ""
        if whole.endswith(_BROKEN):
            self._before = []
        elif len(whole) <= len(known):
            return ""
        else:
            self._before = self._waiting
        self._waiting = []
        return whole[len(known) :].replace(_BROKEN, "")

    def rest(self) -> str:
        """What still waits, at the end of the answer."""
        known, whole = self._text(self._before), self._text(self._before + self._waiting)
        self._before, self._waiting = [], []
        return whole[len(known) :].replace(_BROKEN, "")

    def _text(self, idents: list[int]) -> str:
        text = self._tokenizer.decode(idents, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text if isinstance(text, str) else "".join(text)
