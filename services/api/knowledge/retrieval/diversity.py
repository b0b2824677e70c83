"""Hits that say the same as a better one stand behind those that say something else. Used by `hybrid`."""

from __future__ import annotations

from collections.abc import Sequence

from services.api.domain.knowledge import Hit
from services.api.knowledge.text_index.tokens import bigrams_of

_ALIKE = 0.9
"""Of the tokens that either holds, the share that both hold, from which on two passages say the same."""


def distinct_first(hits: Sequence[Hit]) -> list[Hit]:
    """All hits: first those that are like none before them, then the others; each part in its order.

    A notice that was filed twice would otherwise take two of the three places that a question has.
    """
    distinct: list[tuple[Hit, frozenset[str]]] = []
    repeated: list[Hit] = []
    for hit in hits:
        tokens = frozenset(bigrams_of(hit.chunk.text))
        if any(_are_alike(tokens, other) for _, other in distinct):
            repeated.append(hit)
        else:
            distinct.append((hit, tokens))
    return [*(hit for hit, _ in distinct), *repeated]


def _are_alike(one: frozenset[str], other: frozenset[str]) -> bool:
    """By Jaccard's index; the sizes are compared first, because they bound it. Another number says something else."""
    fewer, more = sorted((len(one), len(other)))
    if not more or fewer < _ALIKE * more:
        return False
    if len(one & other) < _ALIKE * len(one | other):
        return False
    return not any(any(map(str.isdigit, token)) for token in one ^ other)
