"""Follow-up questions with and without what was said before, through /chat/knowledge_base_chat.

`python -m tests.bench.retrieval.conversations [--write]`. The conversational questions of domainrag_ruc_zh are asked of
a base of its passages, with their history (each earlier question and its released answer) and without; hit@k counts
the files of the answer's citations, each once. Nothing rewrites them but the API itself, with the built-in model.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.bench.report import publish, table
from tests.bench.retrieval.sets import FOLDER, answered, client_of, fill, passages, questions, rank_of
from tests.stack import Stack

SET = "domainrag_ruc_zh"
_PASSAGES = 10


def history(question: dict[str, Any]) -> Iterator[dict[str, str]]:
    """What was said before, as the API takes it."""
    for turn in question["history"]:
        yield {"role": "user", "content": turn["question"]}
        yield {"role": "assistant", "content": "；".join(turn["answers"])}


def cited(client: httpx.Client, question: dict[str, Any], *, remembers: bool) -> tuple[list[str], str]:
    """The files an answer cites, each once, and the query that found them."""
    said = list(history(question)) if remembers else []
    event = answered(client, SET, question["question"], top_k=_PASSAGES, history=said)
    files = dict.fromkeys(citation["file_name"] for citation in event["citations"])
    return list(files), event["query"]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    parser.add_argument("--show", action="store_true", help="print the queries and their ranks")
    arguments = parser.parse_args()
    if not FOLDER.is_dir():
        raise SystemExit(f"{FOLDER} is absent: nothing to measure")
    known, asked = passages(SET), questions(SET, "questions_conversational")
    names = {passage.ident: passage.name for passage in known}
    rows = []
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), flags=("--all-api",), webui=False) as stack:
        client = client_of(stack.api)
        fill(client, SET, known)
        for remembers in (False, True):
            with ThreadPoolExecutor(2) as pool:
                found = list(pool.map(lambda one, how=remembers: cited(client, one, remembers=how), asked))
            ranks = []
            for question, (files, query) in zip(asked, found, strict=True):
                gold = {names[ident] for ident in question["gold_passage_ids"]}
                ranks.append(rank_of(files, gold))
                if arguments.show:
                    print(ranks[-1], question["question"], "→", query)
            shares = [sum(1 <= rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10)]
            rows.append(("with" if remembers else "without", len(ranks), *(f"{share:.3f}" for share in shares)))
            print(rows[-1], flush=True)
    command = "python -m tests.bench.retrieval.conversations"
    header = ("history", "questions", "hit@1", "hit@5", "hit@10")
    publish("Follow-up questions (domainrag)", command, table(header, rows), write=arguments.write)


if __name__ == "__main__":
    main()
