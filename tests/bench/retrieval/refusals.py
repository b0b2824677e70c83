"""How often the strict policy refuses what the documents do not hold, and what they do, with a calibrated threshold.

`python -m tests.bench.retrieval.refusals [SET …] [--write]`. Of each set a base is made without every fourth gold
passage: what only those answer, and the set's own unanswerable questions, cannot be answered from it. One half of all
questions calibrates the base with the product's own commands (`services.evaluation run --mode search`, `calibrate
--apply`); the other half is asked of /chat/knowledge_base_chat, which is strict then. A refusal cites nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from services.evaluation.__main__ import main as evaluation
from tests.bench.report import publish, table
from tests.bench.retrieval.sets import BASELINES, FOLDER, answered, client_of, fill, passages, questions
from tests.stack import Stack

FALSE_REFUSALS = 0.08  # of the calibrating half, so that the other stays below 0.10
_MOST = 400


def refused(client: httpx.Client, base: str, question: str) -> bool:
    """Whether a strict base gives no passage for it."""
    return not answered(client, base, question)["citations"]


def share(client: httpx.Client, base: str, asked: Sequence[dict[str, Any]]) -> float | None:
    """Of these questions those that are refused; None without any."""
    if not asked:
        return None
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(lambda one: refused(client, base, one["question"]), asked)) / len(asked)


def calibrated(api: str, folder: Path, base: str, asked: Sequence[dict[str, Any]]) -> float:
    """Calibrate the base with the product's commands; returns the threshold."""
    path = folder / f"{base}.jsonl"
    path.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in asked), encoding="utf-8")
    out = folder / "out"
    reach = ("--api", api)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        begun = evaluation(
            ["run", str(path), "--base", base, "--mode", "search", "--label", base, "--out", str(out), *reach]
        )
        (result,) = out.glob(f"{base}-*.json")
        ended = evaluation(["calibrate", str(result), "--false-refusals", str(FALSE_REFUSALS), "--apply", *reach])
    if begun or ended:
        raise AssertionError(said.getvalue())
    (details,) = (one for one in _details(api) if one["name"] == base)
    threshold: float = details["answering"]["sufficient_relevance"]
    return threshold


def _details(api: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{api}/knowledge_base/details", trust_env=False).json()["data"]
    return found


def measure(api: str, folder: Path, name: str) -> tuple[object, ...]:
    """One set."""
    client = client_of(api)
    asked = questions(name)
    gold = dict.fromkeys(ident for question in asked for ident in question["gold_passage_ids"])
    gone = set(list(gold)[::4])
    known = passages(name, without=gone)
    names = {passage.ident: passage.name for passage in known}
    fill(client, name, known)
    kinds = {
        "answerable": [one for one in asked if gone.isdisjoint(one["gold_passage_ids"])][:_MOST],
        "left out": [one for one in asked if set(one["gold_passage_ids"]) <= gone][:_MOST],
        "given": questions(name, "questions_unanswerable"),
    }
    marked = {
        kind: [
            {"question": one["question"], "gold": [names[ident] for ident in one["gold_passage_ids"]]}
            if kind == "answerable"
            else {"question": one["question"], "gold": []}
            for one in of_kind
        ]
        for kind, of_kind in kinds.items()
    }
    threshold = calibrated(api, folder, name, [one for of_kind in marked.values() for one in of_kind[::2]])
    shares = {kind: share(client, name, of_kind[1::2]) for kind, of_kind in marked.items()}
    shown = {kind: "" if value is None else f"{value:.3f}" for kind, value in shares.items()}
    counts = " / ".join(str(len(of_kind[1::2])) for of_kind in marked.values())
    return name, counts, f"{threshold:.3f}", shown["answerable"], shown["left out"], shown["given"]


HEADER = ("set", "answerable / left out / given", "threshold", "false refusals", "refused, gold left out", "given")


def main() -> None:
    """Measure the sets and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(BASELINES), help="folders below corpora/retrieval")
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    if not FOLDER.is_dir():
        raise SystemExit(f"{FOLDER} is absent: nothing to measure")
    rows = []
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), flags=("--all-api",), webui=False) as stack:
        for name in arguments.sets:
            rows.append(measure(stack.api, Path(folder), name))
            print(rows[-1], flush=True)
    command = f"python -m tests.bench.retrieval.refusals {' '.join(arguments.sets)}"
    publish("Refusals of the strict policy", command, table(HEADER, rows), write=arguments.write)


if __name__ == "__main__":
    main()
