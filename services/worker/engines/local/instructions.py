"""What a model reads before a query and before a passage: said by the options, by its folder, or by its family."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

_QUERY_NAMES = ("query", "s2p_query", "retrieval.query", "search_query")
_PASSAGE_NAMES = ("document", "passage", "corpus", "retrieval.passage", "search_document")
_HUB_FOLDER = "models--"


@dataclass(frozen=True, slots=True)
class Instructions:
    """Put before a text.

    Attributes:
        query: before a query.
        passage: before a passage.
        other: before a text of which nobody says what it is.
        reason: why these.
    """

    query: str = ""
    passage: str = ""
    other: str = ""
    reason: str = ""

    def before(self, kind: str) -> str:
        """What stands before a text of this kind: query, passage, or neither."""
        return {"query": self.query, "passage": self.passage}.get(kind, self.other)


class Family(BaseModel):
    """One entry of instructions.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    pattern: str
    query: str = ""
    passage: str = ""
    source: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say.

    Attributes:
        mode: off: none, whatever the model is.
        query: before a query; None: found out.
        passage: before a passage; None: found out.
    """

    mode: Literal["auto", "off"] = "auto"
    query: str | None = None
    passage: str | None = None


def instructions_for(folder: Path, names: Sequence[str], asked: Asked) -> Instructions:
    """The instructions in force.

    Args:
        folder: of the model.
        names: what the model is called, the most telling first; the folder's own name is tried after them.
        asked: what the options say; it wins, each instruction by itself.
    """
    if asked.mode == "off":
        found = Instructions(reason="the option instructions is off")
    else:
        found = _from_folder(folder) or _from_family([*names, *_names_of(folder)])
    if asked.query is None and asked.passage is None:
        return found
    return Instructions(
        query=found.query if asked.query is None else asked.query,
        passage=found.passage if asked.passage is None else asked.passage,
        other=found.other,
        reason=f"the options say so; without them: {found.reason}",
    )


@cache
def families() -> tuple[Family, ...]:
    """The table, in its order."""
    text = Path(__file__).with_name("instructions.yaml").read_text(encoding="utf-8")
    return TypeAdapter(tuple[Family, ...]).validate_python(yaml.safe_load(text))


def _from_folder(folder: Path) -> Instructions | None:
    """What config_sentence_transformers.json says; None when it says nothing, as most do."""
    file = folder / "config_sentence_transformers.json"
    written = json.loads(file.read_bytes()) if file.is_file() else {}
    prompts = {str(name): str(text or "") for name, text in (written.get("prompts") or {}).items()}
    if not any(prompts.values()):
        return None
    return Instructions(
        query=_first(prompts, _QUERY_NAMES),
        passage=_first(prompts, _PASSAGE_NAMES),
        other=prompts.get(str(written.get("default_prompt_name")), ""),
        reason=f"{file.name} of the model says so",
    )


def _first(prompts: Mapping[str, str], names: Sequence[str]) -> str:
    return next((prompts[name] for name in names if name in prompts), "")


def _names_of(folder: Path) -> Iterator[str]:
    """The folder's name, or the id of the model whose hub cache it is part of."""
    cached = [part for part in folder.parts if part.startswith(_HUB_FOLDER)]
    yield cached[-1].removeprefix(_HUB_FOLDER).replace("--", "/") if cached else folder.name


def _from_family(names: Sequence[str]) -> Instructions:
    for name in names:
        for family in families():
            if re.search(family.pattern, name.rstrip("/").lower()):
                reason = f"{name} is of the family {family.family}: {family.source}"
                return Instructions(query=family.query, passage=family.passage, reason=reason)
    return Instructions(reason="nothing is known of this model; its card may name some")
