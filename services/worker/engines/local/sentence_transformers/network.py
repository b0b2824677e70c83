"""What the embedder asks of a network, and how a batch of texts goes through one. Called by the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FeaturesT = TypeVar("FeaturesT")


@dataclass(frozen=True, slots=True)
class Text:
    """One text to embed.

    Attributes:
        text: itself, without instruction.
        skip_above: no vector is wanted when a larger share of it cannot be read.
    """

    text: str
    skip_above: float = 1.0


@dataclass(frozen=True, slots=True)
class Encoded:
    """One text, embedded.

    Attributes:
        tokens: what the model read, its instruction and special tokens included; what lies beyond its limit is not.
        unreadable_share: of the text's own tokens that were read, those the model does not know.
        vector: of length 1; empty when it was skipped.
    """

    tokens: int
    unreadable_share: float
    vector: list[float]


@dataclass(frozen=True, slots=True)
class Reading(Generic[FeaturesT]):
    """A batch as the network takes it, with tokens and unreadable share of each text."""

    features: FeaturesT
    tokens: list[int]
    unreadable: list[float]


class Network(Protocol):
    """A loaded model. Used by one thread at a time, unless it is concurrent."""

    @property
    def is_concurrent(self) -> bool:
        """Whether several threads may embed at once."""
        ...

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def max_tokens(self) -> int:
        """Longer texts are cut here."""
        ...

    def encode(self, kind: str, batch: Sequence[Text]) -> list[Encoded]:
        """Embed texts of one kind (query, passage or neither), in order."""
        ...


class Stages(Protocol[FeaturesT]):
    """The two halves of a network."""

    def read(self, texts: Sequence[str], kind: str) -> Reading[FeaturesT]:
        """Tokenise texts of one kind (query, passage or neither), with their instruction before them."""
        ...

    def vectors(self, features: FeaturesT) -> NDArray[np.float32]:
        """A row a text, of any length."""
        ...


def encode(stages: Stages[FeaturesT], kind: str, batch: Sequence[Text]) -> list[Encoded]:
    """What `Network.encode` gives; texts that cannot be read cost no computing."""
    reading = stages.read([each.text for each in batch], kind)
    wanted = [place for place, each in enumerate(batch) if reading.unreadable[place] <= each.skip_above]
    rows: dict[int, list[float]] = {}
    if wanted:
        features = reading.features
        if len(wanted) < len(batch):
            features = stages.read([batch[place].text for place in wanted], kind).features
        rows = dict(zip(wanted, unit(stages.vectors(features)), strict=True))
    return [
        Encoded(reading.tokens[place], reading.unreadable[place], rows.get(place, [])) for place in range(len(batch))
    ]


def unit(rows: NDArray[np.float32]) -> list[list[float]]:
    """Each row at length 1, in double precision: a bfloat16 vector's own length is off by up to a percent."""
    exact = rows.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    units: list[list[float]] = (exact / np.where(lengths == 0, 1.0, lengths)).tolist()
    return units
