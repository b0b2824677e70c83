"""How well a ranking of files holds what a question needs.

A ranking is file names, best first, each once. What is needed is given as groups of file names: a question is satisfied
where every group has a member. Most questions have one group, and then any of its files will do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

Groups = Sequence[Collection[str]]


def satisfied_at(ranked: Sequence[str], groups: Groups) -> int | None:
    """The rank, from 1, at which every group has a member; None where one never has, or there are no groups."""
    firsts = [next((rank for rank, name in enumerate(ranked, 1) if name in group), None) for group in groups]
    found = [rank for rank in firsts if rank is not None]
    return max(found) if found and len(found) == len(firsts) else None


def hit_at(ranked: Sequence[str], groups: Groups, depth: int) -> float:
    """Whether the question is satisfied by the first `depth` files: 1 or 0. Its mean is the success rate at `depth`.

    Source: "success at n", TREC (Craswell and Hawking, Overview of the TREC 2004 Web Track).
    """
    rank = satisfied_at(ranked, groups)
    return float(rank is not None and rank <= depth)


def reciprocal_rank(ranked: Sequence[str], groups: Groups, depth: int = 10) -> float:
    """One over the rank at which the question is satisfied, 0 where that is below `depth`. Its mean is the MRR.

    Source: Voorhees, The TREC-8 Question Answering Track Report (1999).
    """
    rank = satisfied_at(ranked, groups)
    return 1 / rank if rank is not None and rank <= depth else 0.0


def ndcg(ranked: Sequence[str], gold: Collection[str], depth: int = 10) -> float:
    """Normalised discounted cumulative gain: each gold file gains 1, discounted by log2(rank + 1).

    The ideal ranking, which is 1, begins with the gold files, as many as `depth` has room for.
    Source: Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques (2002), with the discount
    1 / log2(rank + 1) of Burges et al., Learning to rank using gradient descent (2005).
    """
    wanted = set(gold)
    gained = sum(1 / math.log2(rank + 1) for rank, name in enumerate(ranked[:depth], 1) if name in wanted)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(wanted), depth) + 1))
    return gained / ideal if ideal else 0.0
