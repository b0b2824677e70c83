"""BM25 over whole passages, as the README of corpora/retrieval describes it: what every retrieval has to beat.

`python -m tests.bench.retrieval.baseline [--write]` prints its figures for each set alone and for all in one base with
the distractors. Character bigrams for Chinese, words for English; k1 1.5, b 0.75; the README does not name its own.
"""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.report import publish, table
from tests.bench.retrieval.sets import BASELINES, DISTRACTORS, FOLDER, Passage, passages, questions, rank_of

_K1, _B = 1.5, 0.75
_RUN = re.compile(r"[\u4e00-\u9fff]+|[a-z0-9]+")


def tokens(text: str) -> list[str]:
    """Bigrams of Chinese, words of anything else."""
    found: list[str] = []
    for run in _RUN.findall(text.lower()):
        if run[0] >= "\u4e00":
            found += [run[at : at + 2] for at in range(len(run) - 1)] or [run]
        else:
            found.append(run)
    return found


@dataclass(frozen=True)
class Hits:
    """Shares of the questions whose gold passage is among the first."""

    hit1: float
    hit5: float
    hit10: float


class Bm25:
    """Robertson's BM25 with Lucene's idf, over passages."""

    def __init__(self, known: Sequence[Passage]) -> None:
        self._idents = [passage.ident for passage in known]
        counted = [Counter(tokens(passage.text)) for passage in known]
        lengths = [counts.total() for counts in counted]
        mean = sum(lengths) / len(lengths)
        holding = Counter(token for counts in counted for token in counts)
        self._postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for at, counts in enumerate(counted):
            diluted = _K1 * (1 - _B + _B * lengths[at] / mean)
            for token, times in counts.items():
                held = holding[token]
                rarity = math.log(1 + (len(known) - held + 0.5) / (held + 0.5))
                self._postings[token].append((at, rarity * times * (_K1 + 1) / (times + diluted)))

    def ranked(self, question: str) -> list[str]:
        """The ten best passages."""
        totals: dict[int, float] = defaultdict(float)
        for token in set(tokens(question)):
            for at, weight in self._postings.get(token, ()):
                totals[at] += weight
        return [self._idents[at] for at in sorted(totals, key=lambda at: (-totals[at], at))[:10]]

    def measure(self, asked: Sequence[dict[str, Any]]) -> Hits:
        """What it finds."""
        ranks = []
        for question in asked:
            gold = set(question["gold_passage_ids"])
            ranks.append(rank_of(self.ranked(question["question"]), gold))
        return Hits(*(sum(1 <= rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10)))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    if not FOLDER.is_dir():
        raise SystemExit(f"{FOLDER} is absent: nothing to measure")
    known = {name: passages(name) for name in (*BASELINES, DISTRACTORS)}
    pooled = Bm25([passage for each in known.values() for passage in each])
    rows = []
    for name, (readme1, readme10) in BASELINES.items():
        asked = questions(name)
        own, among = Bm25(known[name]).measure(asked), pooled.measure(asked)
        shown = (own.hit1, own.hit5, own.hit10, among.hit1, among.hit5, among.hit10)
        rows.append((name, readme1, readme10, *(f"{value:.3f}" for value in shown)))
    header = ("set", "README hit@1", "hit@10", "alone hit@1", "hit@5", "hit@10", "pooled hit@1", "hit@5", "hit@10")
    command = "python -m tests.bench.retrieval.baseline"
    publish("BM25 over whole passages, the baseline of retrieval", command, table(header, rows), write=arguments.write)


if __name__ == "__main__":
    main()
