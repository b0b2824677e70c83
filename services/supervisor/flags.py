"""Command-line flags of `startup.py` → `Flags`. The names and the priority of the composites are those of 0.2.10."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flags:
    """What the caller asked to start, composites already expanded.

    Attributes:
        whole_stack: `-a` or `--all-api`: the default embedding model is started whatever `-n` says.
        model_names: models to start; empty means all that are served.
        controller_url: where workers register; None means the configured controller.
        quiet: every process logs errors only.
        plan_only: nothing is started: what would be is held against this machine.
    """

    control_plane: bool = False
    local_models: bool = False
    remote_models: bool = False
    api: bool = False
    webui: bool = False
    whole_stack: bool = False
    model_names: tuple[str, ...] = ()
    controller_url: str | None = None
    quiet: bool = False
    plan_only: bool = False


def parser() -> argparse.ArgumentParser:
    """The parser of `startup.py`; its help is what a call without flags prints."""
    made = argparse.ArgumentParser(
        prog="startup.py", description="Start the Chatchat stack, or parts of it.", allow_abbrev=False
    )
    whole = made.add_argument_group("the whole stack (the first of these wins)")
    whole.add_argument("-a", "--all-webui", action="store_true", help="everything: models, OpenAI API, API and web UI")
    whole.add_argument("--all-api", action="store_true", help="everything but the web UI")
    whole.add_argument("--llm-api", action="store_true", help="controller, OpenAI-compatible server and model workers")
    parts = made.add_argument_group("parts")
    parts.add_argument("-o", "--openai-api", action="store_true", help="controller and OpenAI-compatible server")
    parts.add_argument("-m", "--model-worker", action="store_true", help="workers of local models (see -n)")
    parts.add_argument("-p", "--api-worker", action="store_true", help="workers of online models (see -n)")
    parts.add_argument("--api", action="store_true", help="the Chatchat API")
    parts.add_argument("-w", "--webui", action="store_true", help="the web UI")
    how = made.add_argument_group("how")
    how.add_argument("-n", "--model-name", nargs="+", default=[], metavar="NAME", help="models to start; default: all")
    how.add_argument("-c", "--controller", type=_url, metavar="URL", help="controller the model workers register with")
    how.add_argument("-q", "--quiet", action="store_true", help="log errors only")
    how.add_argument("-i", "--lite", action="store_true", help="no workers of local models: online models only")
    how.add_argument(
        "--plan", action="store_true", help="start nothing; say what of it (default: everything) fits on this machine"
    )
    return made


def parse(arguments: Sequence[str]) -> Flags:
    """Read the flags; leaves the process with exit code 2 when they are malformed (argparse does)."""
    given = parser().parse_args(arguments)
    parts = (given.openai_api, given.model_worker, given.api_worker, given.api, given.webui)
    everything = given.all_webui or (given.plan and not any((given.all_api, given.llm_api, *parts)))
    whole_stack = everything or given.all_api
    models = whole_stack or given.llm_api
    return Flags(
        control_plane=models or given.openai_api,
        local_models=(models or given.model_worker) and not given.lite,
        remote_models=models or given.api_worker,
        api=whole_stack or (given.api and not given.llm_api),
        webui=everything or (given.webui and not models),
        whole_stack=whole_stack,
        model_names=tuple(dict.fromkeys(given.model_name)),
        controller_url=given.controller,
        quiet=given.quiet,
        plan_only=given.plan,
    )


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is no URL; write it like http://127.0.0.1:20001")
    return text.rstrip("/")
