"""A real engine alone, through the gateway, and through any other front, side by side.

    python -m tests.bench.serving.engines \\
        --path alone http://127.0.0.1:8000 tiny engine=PID \\
        --path gateway http://127.0.0.1:20000 tiny engine=PID gateway=PID \\
        --path fastchat http://127.0.0.1:8001 tiny engine=PID api=PID worker=PID [--write]

The first path is the one the ratios are taken against. A process is charged with its children.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tests.bench.report import publish
from tests.bench.serving import cells
from tests.bench.serving.load import Ask, Path

TOKENS = 64
FIELDS = {"max_tokens": TOKENS, "ignore_eos": True, "temperature": 1.0}
"""A model of random weights would end anywhere; FastChat's own server knows no `ignore_eos` and drops it."""


def path_of(words: Sequence[str]) -> Path:
    """A path as the command line names it: name, base URL, model, and process=pid, …"""
    name, base_url, model, *processes = words
    pids: dict[str, list[int]] = {}
    for word in processes:
        process, _, pid = word.partition("=")
        pids.setdefault(process, []).append(int(pid))
    return Path(name, base_url.rstrip("/"), model, pids)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", nargs="+", action="append", required=True, metavar="WORD")
    parser.add_argument("--title", default=f"Engines and fronts: streams of {TOKENS} tokens")
    parser.add_argument("--prompt", default="Tell me about the sea, the wind and the stars.")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    paths = [path_of(words) for words in arguments.path]
    plan = cells.Rounds(arguments.streams, arguments.rounds, arguments.seconds)
    found = cells.compare(paths, Ask(arguments.prompt, FIELDS), plan)
    publish(arguments.title, "python -m tests.bench.serving.engines", cells.report(found), write=arguments.write)


if __name__ == "__main__":
    main()
