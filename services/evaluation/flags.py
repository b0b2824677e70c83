"""The flags of the evaluation and what they mean together."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from services.evaluation.metrics.citations import REFUSALS, RefusalRule

OUT = Path("evaluations")


def parser() -> argparse.ArgumentParser:
    """The commands and their flags."""
    made = argparse.ArgumentParser(prog="python -m services.evaluation", description="Measures a running stack.")
    commands = made.add_subparsers(dest="command", required=True)
    _run(commands.add_parser("run", help="ask a question set and keep the figures"))
    _compare(commands.add_parser("compare", help="compare two results question by question"))
    _generate(commands.add_parser("generate", help="make a question set of a base's own passages"))
    _calibrate(commands.add_parser("calibrate", help="find from which relevance on a strict answer should be given"))
    return made


def _at_least(least: int, most: int | None = None) -> Callable[[str], int]:
    """What argparse reads a whole number within bounds with."""

    def number(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"between {least} and {most}"
            raise argparse.ArgumentTypeError(f"{value} is not {bounds}")
        return value

    return number


def _based(made: argparse.ArgumentParser) -> None:
    made.add_argument("--base", required=True, metavar="NAME", help="the knowledge base")
    _reaching(made)


def _reaching(made: argparse.ArgumentParser) -> None:
    made.add_argument("--api", metavar="URL", help="address of the API; default: as configured")
    made.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="holds the access key; default: the first configured, not for --api",
    )


def _run(made: argparse.ArgumentParser) -> None:
    made.add_argument("questions", type=Path, metavar="QUESTIONS.jsonl")
    _based(made)
    made.add_argument("--passages", type=Path, metavar="FILE", help="passage id → file, for gold_passage_ids")
    made.add_argument("--file-pattern", metavar="PATTERN", help="names of the passages' files, e.g. {number:05}.md")
    made.add_argument("--mode", choices=("search", "answer", "both"), default="both", help="default: both")
    made.add_argument("--top-k", type=_at_least(1, 100), default=30, metavar="N", help="passages searched; default: 30")
    made.add_argument("--answer-top-k", type=_at_least(1, 100), metavar="N", help="passages an answer is made from")
    made.add_argument("--model", metavar="NAME", help="chat model that answers; default: the API's own")
    made.add_argument("--limit", type=_at_least(1), metavar="N", help="ask only the first questions")
    made.add_argument("--concurrency", type=_at_least(1, 256), default=4, metavar="N", help="at a time; default: 4")
    made.add_argument("--label", default="run", metavar="L", help="names the result")
    made.add_argument("--out", type=Path, default=OUT, metavar="FOLDER", help=f"of the results; default: {OUT}")
    rules = [rule.value for rule in RefusalRule]
    made.add_argument("--refusal-rule", choices=rules, default="either", help="what makes a refusal; default: either")
    made.add_argument("--grade", choices=("string", "embedding", "judge"), default="string", help="default: string")
    made.add_argument("--grade-model", metavar="NAME", help="that grades; default: the configured one of its kind")
    made.add_argument("--grade-threshold", type=float, default=0.8, metavar="C", help="least cosine; default: 0.8")
    made.add_argument("--gateway", metavar="URL", help="gives embeddings; default: as configured")
    made.add_argument(
        "--refusal-sentence", action="append", metavar="TEXT", help=f"instead of: {'; '.join(REFUSALS)}"
    )  # fmt: skip


def _compare(made: argparse.ArgumentParser) -> None:
    made.add_argument("first", type=Path, metavar="A.json")
    made.add_argument("second", type=Path, metavar="B.json")
    made.add_argument("--resamples", type=_at_least(100, 1_000_000), default=10_000, metavar="N", help="default: 10000")
    made.add_argument("--seed", type=_at_least(0), default=0, metavar="N", help="of the resampling; default: 0")


def _generate(made: argparse.ArgumentParser) -> None:
    _based(made)
    made.add_argument("--out", type=Path, required=True, metavar="QUESTIONS.jsonl")
    made.add_argument("--count", type=_at_least(1), default=50, metavar="N", help="at most; default: 50")
    made.add_argument("--seed", type=_at_least(0), default=0, metavar="N", help="one seed, one set; default: 0")
    made.add_argument("--model", metavar="NAME", help="chat model that writes them; default: rules")


def _calibrate(made: argparse.ArgumentParser) -> None:
    made.add_argument("result", type=Path, metavar="RESULT.json", help="of a run with --mode search")
    made.add_argument("--false-refusals", type=_share, default=0.1, metavar="SHARE", help="allowed; default: 0.1")
    made.add_argument("--apply", action="store_true", help="make the base of the run strict with what is found")
    _reaching(made)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value
