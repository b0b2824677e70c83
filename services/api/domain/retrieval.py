"""What a search found, and why: what each arm gave, how it was ordered, what was cut, and the time it took."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from services.api.domain.knowledge import ChunkId, Hit, Place
from services.api.domain.names import FileName, KnowledgeBaseName


class ArmKind(enum.StrEnum):
    """The two ways to find candidates."""

    KEYWORD = "keyword"
    DENSE = "dense"


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm's part in a search of one base.

    Attributes:
        found: candidates it gave.
        weight: of its list in the fusion.
        left_out: why it was not asked, in one word; None when it was.
    """

    knowledge_base: KnowledgeBaseName
    kind: ArmKind
    found: int
    weight: float
    left_out: str | None = None


class Fate(enum.StrEnum):
    """What became of a candidate.

    UNKNOWN: the metadata database does not have it (deleted, or being indexed). UNSIMILAR: below the least similarity.
    UNRANKED: beyond what is ordered anew. CUT: not among the best that were asked for. USED: a hit.
    """

    UNKNOWN = "unknown"
    UNSIMILAR = "unsimilar"
    UNRANKED = "unranked"
    CUT = "cut"
    USED = "used"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that an arm found. Ranks count from 1; None: it was not in that list.

    Attributes:
        knowledge_base, file_name, place: where it stands; None when its fate is UNKNOWN.
    """

    id: ChunkId
    fused_rank: int
    fate: Fate
    knowledge_base: KnowledgeBaseName | None = None
    file_name: FileName | None = None
    place: Place | None = None
    keyword_rank: int | None = None
    coverage: float | None = None
    dense_rank: int | None = None
    cosine: float | None = None
    final_rank: int | None = None
    relevance: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a search found what it found.

    Attributes:
        query: as it was searched.
        candidates: in the order of the fusion.
        milliseconds: by stage: keyword, dense, fetch, rerank.
        wordings: what was searched beside the query; arms and ranks of the arms are the query's own.
    """

    query: str
    arms: tuple[Arm, ...]
    candidates: tuple[Candidate, ...]
    milliseconds: Mapping[str, float]
    wordings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The hits of a search, best first, and why."""

    hits: tuple[Hit, ...]
    explanation: Explanation
