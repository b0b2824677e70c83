"""Knowledge nouns → wire bodies. Used by the knowledge routes."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from services.api.domain.ingestion import Progress
from services.api.domain.knowledge import FileSummary, Hit, KnowledgeBase, KnowledgeFile, Parsed, Passage, Place
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.retrieval import Candidate, Explanation
from services.api.knowledge.fingerprint import Likeness
from services.api.knowledge.rebuilding import Reindexed
from services.foundation.errors import error_from
from services.foundation.http import sentence
from services.wire.chatchat import (
    ArmBody,
    BaseAnswering,
    CandidateBody,
    FileDetails,
    FoundDocument,
    KnowledgeBaseDetails,
    Preview,
    SummaryBody,
    WhyBody,
)


def distance(similarity: float) -> float:
    """0.2.10's score, lower is better, in [0, 2]: the squared L2 distance of normalised vectors, 2 − 2·cosine."""
    return 2 - 2 * similarity


def similarity_floor(score_threshold: float) -> float:
    """The least similarity that a distance ceiling of 0.2.10 lets pass."""
    return min(max(1 - score_threshold / 2, 0.0), 1.0)


def like_pattern(wildcards: str) -> re.Pattern[str]:
    """SQL's wildcards as 0.2.10 took them for file names: % is any text, _ any character; case does not count."""
    parts = {"%": ".*", "_": "."}
    return re.compile("".join(parts.get(char) or re.escape(char) for char in wildcards), re.IGNORECASE | re.DOTALL)


def place_facts(place: Place) -> dict[str, JsonValue]:
    """The parts of a place that are known."""
    known: Mapping[str, JsonValue] = {
        "page": place.page,
        "sheet": place.sheet,
        "row": place.row,
        "last_row": place.last_row,
        "heading": " > ".join(place.heading) or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def found_document(hit: Hit, base: KnowledgeBaseName | None = None) -> FoundDocument:
    """A hit as search_docs gives it; `base`: named in it."""
    metadata: dict[str, JsonValue] = {
        "source": hit.chunk.file_name.value,
        **({} if base is None else {"knowledge_base": base.value}),
        **place_facts(hit.chunk.place),
        "similarity": round(hit.similarity, 4),
        "cosine": _rounded(hit.cosine),
        "coverage": _rounded(hit.coverage),
        "relevance": _rounded(hit.relevance),
    }
    return FoundDocument(
        page_content=hit.chunk.text, metadata=metadata, id=hit.chunk.id, score=round(distance(hit.similarity), 6)
    )


def why_body(explanation: Explanation) -> WhyBody:
    """Why a search found what it found."""
    return WhyBody(
        query=explanation.query,
        arms=[
            ArmBody(
                knowledge_base=_told(arm.knowledge_base) or "",
                kind=arm.kind.value,
                found=arm.found,
                weight=round(arm.weight, 4),
                left_out=arm.left_out,
            )
            for arm in explanation.arms
        ],
        candidates=[_candidate(candidate) for candidate in explanation.candidates],
        milliseconds={stage: round(took, 2) for stage, took in explanation.milliseconds.items()},
        wordings=list(explanation.wordings),
    )


def _told(name: KnowledgeBaseName | None) -> str | None:
    """The name of a base where it has one for people."""
    return None if name is None or name.is_temporary else name.value


def _candidate(candidate: Candidate) -> CandidateBody:
    return CandidateBody(
        chunk_id=candidate.id,
        fused_rank=candidate.fused_rank,
        fate=candidate.fate.value,
        knowledge_base=_told(candidate.knowledge_base),
        file_name=candidate.file_name.value if candidate.file_name else None,
        place=place_facts(candidate.place) if candidate.place else {},
        keyword_rank=candidate.keyword_rank,
        coverage=_rounded(candidate.coverage),
        dense_rank=candidate.dense_rank,
        cosine=_rounded(candidate.cosine),
        final_rank=candidate.final_rank,
        relevance=_rounded(candidate.relevance),
    )


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def listed_document(file: FileName, passage: Passage, chunk_id: str | None = None) -> FoundDocument:
    """A passage that was listed, not searched for: 0.2.10's score of 3.0."""
    metadata: dict[str, JsonValue] = {"source": file.value, **place_facts(passage.place)}
    return FoundDocument(page_content=passage.text, metadata=metadata, id=chunk_id)


def preview_body(file: FileName, parsed: Parsed) -> Preview:
    """What a file would be cut into."""
    return Preview(
        chunks=[listed_document(file, passage) for passage in parsed.passages],
        warnings=list(parsed.warnings),
        loader=parsed.loader,
        splitter=parsed.splitter,
    )


def base_details(base: KnowledgeBase, file_count: int) -> KnowledgeBaseDetails:
    """A base in a list."""
    return KnowledgeBaseDetails(
        name=base.name.value,
        description=base.description,
        embedding_model=base.embedding_model,
        vector_store=base.vector_store,
        text_splitter=base.splitting.splitter,
        chunk_size=base.splitting.chunk_chars,
        chunk_overlap=base.splitting.overlap_chars,
        answering=BaseAnswering(**dataclasses.asdict(base.answering)),
        file_count=file_count,
        created_at=base.created_at.isoformat(),
    )


def file_details(
    file: KnowledgeFile, language: str, progress: Progress | None = None, likeness: Likeness | None = None
) -> FileDetails:
    """A file in a list, with the sentence that says why it failed, how far it has been read, and what it is like."""
    return FileDetails(
        name=file.name.value,
        size_bytes=file.size_bytes,
        state=file.state.value,
        version=file.version,
        chunk_count=file.chunk_count,
        modified_at=file.modified_at.isoformat(),
        failure=failure_sentence(file, language),
        failure_code=file.failure.code if file.failure else None,
        warnings=list(file.warnings),
        stage=progress.stage.value if progress else None,
        progress_done=progress.done if progress else None,
        progress_total=progress.total if progress else None,
        duplicate_of=likeness.duplicate_of.value if likeness and likeness.duplicate_of else None,
        similar_to=[name.value for name in likeness.similar_to] if likeness else [],
    )


def with_summary(details: FileDetails, summary: FileSummary | None) -> FileDetails:
    """A file in a list with its summary, if it has one."""
    return details if summary is None else details.model_copy(update={"summary": summary_body(summary)})


def summary_body(summary: FileSummary) -> SummaryBody:
    """A summary, and what kind it is."""
    kind: Literal["quoted", "written"] = "quoted" if summary.is_quoted else "written"
    return SummaryBody(text=summary.text, model=summary.model, kind=kind, created_at=summary.created_at.isoformat())


def reindexed_event(base: KnowledgeBaseName, done: Reindexed, language: str) -> str:
    """0.2.10's event of recreate_vector_store: a file that is done with, or why it was left as it was."""
    if done.failure is not None:
        reason = sentence(done.failure, language).rstrip("。.")
        body: dict[str, JsonValue] = {
            "code": 500,
            "msg": f"添加文件‘{done.file}’到知识库‘{base}’时出错：{reason}。已跳过。",
        }
    else:
        body = {
            "code": 200,
            "msg": f"({done.finished} / {done.total}): {done.file}",
            "total": done.total,
            "finished": done.finished,
            "doc": done.file.value,
        }
    return json.dumps(body, ensure_ascii=False)


def failure_sentence(file: KnowledgeFile, language: str) -> str | None:
    """Why the file is not searchable, in `language`; None when it is not a failed one."""
    if file.failure is None:
        return None
    return sentence(error_from(file.failure.code, file.failure.facts), language)
