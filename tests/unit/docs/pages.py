"""Reads the pages of docs/howto: their prose, and the examples between their fences."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.abc import InspectLoader
from types import ModuleType
from typing import Any

import yaml

from tests.architecture.sources import ROOT

HOWTO = ROOT / "docs" / "howto"
LINES = 40
EXAMPLES = {
    "add-a-failure": ["python", "yaml"],
    "add-a-loader": ["python"],
    "add-a-model": ["yaml"],
    "add-a-prompt": ["yaml"],
    "add-a-provider": ["yaml"],
    "add-a-reranker": ["yaml"],
    "add-a-setting": ["python", "console"],
    "add-a-splitter": ["python", "yaml"],
    "add-a-ui-language": ["yaml"],
    "add-a-vector-store": ["python", "yaml"],
    "add-an-answering-strategy": ["python"],
    "add-an-endpoint": ["python"],
    "add-an-engine": ["python"],
    "ask-over-http": ["console"],
    "check-and-repair": ["console"],
    "choose-a-splitter": ["yaml"],
    "configure": ["console", "yaml"],
    "evaluate": ["console"],
    "move-from-0.2": ["console"],
    "plan-a-machine": ["console", "yaml"],
    "serve-with-transformers": ["yaml"],
    "serve-with-vllm": ["yaml"],
    "switch-a-model": ["console"],
    "use-postgresql": ["yaml", "console"],
}
"""Every page and its examples; each is run below. A new page, or a new example on one, comes with its test."""
MADE = {
    "configs/preview.yaml",
    "services/api/knowledge/loaders/adoc.py",
    "services/api/knowledge/splitters/lines.py",
    "services/foundation/messages.de.yaml",
    "services/worker/engines/shout.py",
    "webui/i18n/de.yaml",
}
"""What the reader of a page makes."""
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of_page(page: str) -> str:
    return (HOWTO / f"{page}.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return [body for found, body in FENCE.findall(text_of_page(page)) if found == language]


def fragment(page: str) -> Any:
    (body,) = blocks(page, "yaml")
    return yaml.safe_load(body)


class _PageLoader(InspectLoader):
    """Makes a module of a page's Python."""

    def get_source(self, fullname: str) -> str:
        (body,) = blocks(fullname.removeprefix("howto ").partition(" ")[0], "python")
        return body


def loaded(page: str) -> ModuleType:
    made = importlib.util.spec_from_loader(f"howto {page}", _PageLoader())
    assert made is not None
    assert made.loader is not None
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    return module


@cache
def example(page: str) -> Any:
    """The page's Python, run once."""
    return loaded(page)


def spans(page: str) -> list[str]:
    """What stands between backticks outside of the fences."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", text_of_page(page)))


def commands(page: str) -> Iterator[list[str]]:
    """Every command on a page, in a fence or between backticks; comments are gone."""
    fenced = "\n".join(blocks(page, "console")).replace("\\\n", "")
    for line in [*fenced.splitlines(), *spans(page)]:
        if re.match(r"[A-Z_]+=\S+ |make [a-z]|python |curl |API=", line):
            yield shlex.split(line, comments=True)
