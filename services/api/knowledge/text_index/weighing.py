"""What words weigh and what chunks are worth: one meaning for every text index on this shelf."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.api.domain.knowledge import Chunk
from services.api.knowledge.text_index.tokens import Tokens

QUERY_TOKENS = 64
# A base of more chunks is searched by the rarest words of a question.
WEIGHED_CHUNKS = 30_000
_LEAST_SEEKERS = 2
# FTS5's BM25, to the letter: its two constants, and the least a word weighs that most chunks hold.
SATURATION, LENGTH_SHARE = 1.2, 0.75
_LEAST_WEIGHT = 1e-6


class Found(NamedTuple):
    """A chunk that was found, with its tokens, between spaces."""

    chunk: str
    words: str
    bigrams: str


class Standing(NamedTuple):
    """A base's chunks, and the tokens of both kinds in all of them."""

    chunks: int
    tokens: int


class RankingWeights(NamedTuple):
    """What each word and each bigram of a question weighs in the ranking."""

    words: Mapping[str, float]
    bigrams: Mapping[str, float]


def searchable(chunk: Chunk) -> str:
    """The indexed text under the file's name: people ask for a file by what it is called."""
    return f"{chunk.file_name.stem}\n{chunk.indexed_text}"


def shortened(asked: Tokens) -> Tokens:
    """The tokens of a question that are looked for."""
    return Tokens(asked.words[:QUERY_TOKENS], asked.bigrams[:QUERY_TOKENS])


def is_beginning(bigram: str) -> bool:
    """A single Chinese character asks for every bigram that begins with it."""
    return len(bigram) == 1 and not bigram.isascii()


def rarity(held: int, size: int) -> float:
    """A word's inverse document frequency, when `held` of `size` chunks hold it; one that none holds weighs most."""
    return math.log(1 + (size - held + 0.5) / (held + 0.5))


def ranking_weight(held: int, size: int) -> float:
    """The same as BM25 counts it: what more than half of the chunks hold counts for next to nothing."""
    return max(_LEAST_WEIGHT, math.log((size - held + 0.5) / (held + 0.5)))


def rarest(asked: Tokens, holding: Mapping[str, int], limit: int) -> Tokens:
    """The rarest tokens that so many chunks hold in all, and two that some chunk holds at least."""
    kept: set[str] = set()
    chunks = seeking = 0
    for token in sorted(holding, key=lambda each: holding[each]):
        chunks += holding[token]
        if chunks > limit and seeking >= _LEAST_SEEKERS:
            break
        kept.add(token)
        seeking += holding[token] > 0
    return Tokens(*(tuple(token for token in tokens if token in kept) for tokens in (asked.words, asked.bigrams)))


def coverage(found: Found, weights: Mapping[str, float]) -> float:
    """The share of the words' weight that a chunk holds."""
    words, bigrams = set(found.words.split()), set(found.bigrams.split())
    held = sum(weight for word, weight in weights.items() if word in words or _is_spelt(word, bigrams))
    return min(1.0, held / sum(weights.values()))


def ranked(found: Sequence[Found], weights: RankingWeights, standing: Standing) -> list[Found]:
    """Best first by BM25 over words and bigrams together; equals stay in their order."""
    return sorted(found, key=lambda each: -_bm25(each, weights, standing))


def _bm25(found: Found, weights: RankingWeights, standing: Standing) -> float:
    length = (_length(found.words) + _length(found.bigrams)) * standing.chunks / max(1, standing.tokens)
    diluted = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length)
    words, bigrams = _apart(found.words), _apart(found.bigrams)
    held = [(weight, words.count(f" {word} ")) for word, weight in weights.words.items()]
    for bigram, weight in weights.bigrams.items():
        end = "" if is_beginning(bigram) else " "
        held.append((weight, bigrams.count(f" {bigram}{end}")))
    return sum(weight * times / (times + diluted) for weight, times in held)


def _length(tokens: str) -> int:
    return tokens.count(" ") + bool(tokens)


def _apart(tokens: str) -> str:
    """Each token between spaces of its own, so that they can be counted: four times as fast as a Counter of all."""
    return f" {tokens.replace(' ', '  ')} "


def _is_spelt(word: str, bigrams: set[str]) -> bool:
    """Whether a word that jieba cut differently in the chunk stands there all the same."""
    if word.isascii():
        return False
    if len(word) == 1:
        return any(bigram.startswith(word) for bigram in bigrams)
    return all(word[at : at + 2] in bigrams for at in range(len(word) - 1))
