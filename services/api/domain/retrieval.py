"""What a search is asked, what it found, and why: what each arm gave, the order, what was cut, and the time."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.api.domain.knowledge import ChunkId, Hit, KnowledgeBase, Place
from services.api.domain.names import FileName, KnowledgeBaseName


@dataclass(frozen=True, slots=True)
class Filter:
    """Which chunks a search may find.

    Attributes:
        file: whether files of this name may be found.
        place: whether text at this place may be; None: any.
    """

    file: Callable[[FileName], bool]
    place: Callable[[Place], bool] | None = None


class SearchMode(enum.StrEnum):
    """How a search looks.

    HYBRID: by words and by meaning. EXACT: only passages that hold the text itself, width, case and traditional
    characters aside. FUZZY: as HYBRID, misspelt words put right. SEMANTIC: by meaning alone.
    """

    HYBRID = "hybrid"
    EXACT = "exact"
    FUZZY = "fuzzy"
    SEMANTIC = "semantic"


@dataclass(frozen=True, slots=True)
class Wording:
    """Another way to put a question. `weight`: of its list in the fusion, beside the question's own, which counts 1."""

    text: str
    weight: float


@dataclass(frozen=True, slots=True)
class Query:
    """A search: the text, which bases may be read, and the cut.

    Attributes:
        knowledge_bases: at least one; each is searched with its own embedder.
        min_similarity: hits below are dropped; in [0, 1].
        filter: what else may not be found; None: nothing.
        widen_chars: hits are shown with their neighbours up to so many characters; 0: alone.
        wordings: searched beside the text.
        mode: how it looks.
        distinct: what repeats a better hit stands behind all others, as suits a prompt; a search shows what it found.
    """

    text: str
    knowledge_bases: tuple[KnowledgeBase, ...]
    top_k: int
    min_similarity: float = 0.0
    filter: Filter | None = None
    widen_chars: int = 0
    wordings: tuple[Wording, ...] = ()
    mode: SearchMode = SearchMode.HYBRID
    distinct: bool = False


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
        milliseconds: by stage: keyword, embed, dense, fetch, rerank, widen.
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
