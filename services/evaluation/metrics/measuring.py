"""A question with what was found and answered → the measures that are defined for it."""

from __future__ import annotations

from collections.abc import Sequence

from services.evaluation.metrics.answers import contains, token_f1
from services.evaluation.metrics.citations import Refusing, citation_precision, citation_recall
from services.evaluation.metrics.ranking import hit_at, ndcg, reciprocal_rank
from services.evaluation.questions import SetQuestion
from services.evaluation.records import FoundPassage, GivenAnswer

DEPTHS = (1, 3, 5, 10)


def search_metrics(question: SetQuestion, found: Sequence[FoundPassage]) -> dict[str, float]:
    """Hits, MRR@10 and nDCG@10 over the files of the passages found, each file at its best rank.

    Of every question, also the relevance of the passage that is most likely to answer it; 0 where nothing was found.
    """
    relevances = [passage.relevance for passage in found if passage.relevance is not None]
    likely = {"best_relevance": max(relevances, default=0.0)} if relevances or not found else {}
    if not question.is_answerable:
        return likely
    ranked = list(dict.fromkeys(passage.file for passage in found))
    hits = {f"hit@{depth}": hit_at(ranked, question.evidence, depth) for depth in DEPTHS}
    return {
        **likely,
        **hits,
        "mrr@10": reciprocal_rank(ranked, question.evidence),
        "ndcg@10": ndcg(ranked, question.gold),
    }


def answer_metrics(question: SetQuestion, answer: GivenAnswer, refusing: Refusing) -> dict[str, float]:
    """Refusal for every question; for answerable ones the citations, and against gold answers what it says."""
    refused = float(refusing.is_refusal(answer.text))
    if not question.is_answerable:
        return {"refusal": refused}
    sources = {source.number: source.file for source in answer.sources}
    measured = {"false_refusal": refused}
    if question.answers:
        measured["contains"] = contains(answer.text, question.answers)
        measured["token_f1"] = token_f1(answer.text, question.answers)
    precision = citation_precision(answer.text, sources, question.gold)
    if precision is not None:
        measured["citation_precision"] = precision
    measured["citation_recall"] = citation_recall(answer.text, sources, question.evidence)
    return measured
