"""Turns texts into token ids with a plain tokenizer. Used by the networks that run without sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from services.worker.engines.local.instructions import Instructions
from services.worker.engines.local.sentence_transformers.network import Reading

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Encoding, Tokenizer

Features: TypeAlias = "dict[str, NDArray[np.int64]]"


class Reader:
    """Tokenises, cuts, pads and counts.

    Args:
        tokenizer: with its padding and truncation set.
        inputs: the names of what the network takes.
        unknown_id: of the token for what the tokenizer does not know.
        instructions: what stands before the texts.
    """

    def __init__(
        self, tokenizer: Tokenizer, inputs: Sequence[str], unknown_id: int | None, instructions: Instructions
    ) -> None:
        self._tokenizer = tokenizer
        self._inputs = frozenset(inputs)
        self._unknown_id = unknown_id
        self._instructions = instructions

    def read(self, texts: Sequence[str], kind: str) -> Reading[Features]:
        """A batch, padded to its longest text."""
        instruction = self._instructions.before(kind)
        encodings = self._tokenizer.encode_batch_fast([instruction + text for text in texts])
        own, unknown = self._counted(instruction)
        columns = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        return Reading(
            features={name: np.array(rows, dtype=np.int64) for name, rows in columns.items() if name in self._inputs},
            tokens=[sum(encoding.attention_mask) for encoding in encodings],
            unreadable=[self._unreadable(encoding, own, unknown) for encoding in encodings],
        )

    def _counted(self, instruction: str) -> tuple[int, int]:
        """Tokens of the instruction, and those of them that are unknown: they are not the text's own."""
        if not instruction:
            return 0, 0
        identifiers = self._tokenizer.encode(instruction, add_special_tokens=False).ids
        return len(identifiers), sum(each == self._unknown_id for each in identifiers)

    def _unreadable(self, encoding: Encoding, instruction_tokens: int, instruction_unknown: int) -> float:
        own = len(encoding.ids) - sum(encoding.special_tokens_mask) - instruction_tokens
        if self._unknown_id is None or own <= 0:
            return 0.0
        unknown = encoding.ids.count(self._unknown_id) - instruction_unknown
        return min(1.0, max(0, unknown) / own)
