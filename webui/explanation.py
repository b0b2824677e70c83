"""Why a search found what it found, in words and rows: arms, candidates, fates, times. Pure; drawn by components."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.wire.chatchat import AnsweringBody, ArmBody, CandidateBody, WhyBody
from webui.i18n import Texts

_STAGES = ("keyword", "embed", "dense", "fetch", "rerank", "widen")
_NONE = "–"
_BELOW = " > "


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of the passages that were found.

    Attributes:
        numbers: chunk id → the number it is cited by.
        left_out: numbers that did not fit into the prompt.
        is_answer: an answer was made of them; a search test makes none.
    """

    numbers: Mapping[str, int]
    left_out: Collection[int] = ()
    is_answer: bool = True


def arm_of(arm: ArmBody, texts: Texts, *, named: bool) -> str:
    """What one arm found, or why it was not asked; `named`: of which base."""
    kind = texts(f"arm.{arm.kind}")
    who = f"{arm.knowledge_base} · {kind}" if named else kind
    if arm.left_out is not None:
        return texts(
            "arm.left_out", arm=who, reason=_known(f"arm.{arm.left_out.replace(' ', '_')}", arm.left_out, texts)
        )
    return texts("arm.found", arm=who, count=arm.found, weight=f"{arm.weight:.2f}")


def ordered(candidates: Sequence[CandidateBody]) -> list[CandidateBody]:
    """Those that were used first, then as far as each came."""
    last = len(candidates) + 1
    return sorted(
        candidates, key=lambda one: (one.fate != "used", one.final_rank or last, one.fate == "unknown", one.fused_rank)
    )


def columns_of(why: WhyBody, reading: Reading, texts: Texts) -> dict[str, list[str]]:
    """The table of candidates: heading → cells."""
    several = len({arm.knowledge_base for arm in why.arms}) > 1
    found = ordered(why.candidates)
    return {
        texts("column.fate"): [fate_of(one, reading, texts) for one in found],
        texts("column.passage"): [place_of(one, texts, named=several) for one in found],
        texts("column.keyword"): [_ranked(one.keyword_rank, one.coverage) for one in found],
        texts("column.dense"): [_ranked(one.dense_rank, one.cosine) for one in found],
        texts("column.fused"): [str(one.fused_rank) for one in found],
        texts("column.final"): [_NONE if one.final_rank is None else str(one.final_rank) for one in found],
        texts("column.similarity"): [_percent(similarity_of(one)) for one in found],
        texts("column.relevance"): [_percent(one.relevance) for one in found],
    }


def fate_of(candidate: CandidateBody, reading: Reading, texts: Texts) -> str:
    """What became of a candidate, in words."""
    if candidate.fate != "used":
        return texts(f"fate.{candidate.fate}")
    if not reading.is_answer:
        return texts("fate.shown")
    number = reading.numbers.get(candidate.chunk_id)
    if number is None:
        return texts("fate.insufficient")
    return texts("fate.unread" if number in reading.left_out else "fate.used", number=number)


def place_of(candidate: CandidateBody, texts: Texts, *, named: bool) -> str:
    """Base (where there are several), file and place of a candidate."""
    heading = str(candidate.place.get("heading") or "").rpartition(_BELOW)[2]  # the others rarely tell two apart
    place = place_words({**candidate.place, "heading": heading or None}, texts)
    parts = [candidate.knowledge_base if named else None, candidate.file_name, *place]
    return " · ".join(part for part in parts if part) or candidate.chunk_id


def place_words(place: Mapping[str, object], texts: Texts) -> list[str]:
    """The known parts of a place, in words."""
    facts = {name: str(value) for name, value in place.items() if value is not None}
    parts = [texts(f"place.{name}", **{name: facts[name]}) for name in ("page", "sheet") if name in facts]
    if "row" in facts and facts.get("last_row", facts["row"]) != facts["row"]:
        parts.append(texts("place.rows", row=facts["row"], last_row=facts["last_row"]))
    elif "row" in facts:
        parts.append(texts("place.row", row=facts["row"]))
    return [*parts, facts["heading"]] if "heading" in facts else parts


def similarity_of(candidate: CandidateBody) -> float | None:
    """The larger of what the two arms say; None where neither says anything."""
    known = [share for share in (candidate.coverage, candidate.cosine) if share is not None]
    return max(known) if known else None


def times_of(milliseconds: Mapping[str, float], texts: Texts) -> str:
    """The stages of a search and how long each took; one we do not know is named as it is."""
    known = [stage for stage in _STAGES if stage in milliseconds]
    stages = [*known, *(stage for stage in milliseconds if stage not in known)]
    return " · ".join(f"{_known(f'stage.{stage}', stage, texts)} {milliseconds[stage]:.1f} ms" for stage in stages)


def approach_of(answering: AnsweringBody, texts: Texts) -> list[str]:
    """How the passages were read, sentence by sentence."""
    said = [texts("approach.strategy", strategy=_known(f"strategy.{answering.strategy}", answering.strategy, texts))]
    if answering.groups:
        groups = " / ".join(_numbers(group) for group in answering.groups)
        said.append(texts("approach.groups", count=len(answering.groups), groups=groups))
    for key, numbers in (("approach.left_out", answering.left_out), ("approach.unrated", answering.unrated)):
        if numbers:
            said.append(texts(key, numbers=_numbers(numbers)))
    if answering.cut_short:
        said.append(texts("approach.cut_short", count=answering.cut_short))
    return said


def _numbers(numbers: Sequence[int]) -> str:
    return "".join(f"[{number}]" for number in numbers)


def _known(key: str, name: str, texts: Texts) -> str:
    return texts(key) if key in texts else name


def _ranked(rank: int | None, share: float | None) -> str:
    return _NONE if rank is None else f"{rank} · {_percent(share)}"


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{100 * share:.0f}%"
