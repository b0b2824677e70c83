"""The retrieval sets and how they come into a base. Used by every bench of this folder."""

from __future__ import annotations

import json
import time
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import CORPORA

FOLDER = CORPORA / "retrieval"
DISTRACTORS = "distractors_zh_news"
# BM25 hit@1 and hit@10 from the README of the folder: character bigrams for Chinese, words for English.
BASELINES = {
    "cmrc2018_dev": (0.961, 0.999),
    "squadshifts_new_wiki": (0.774, 0.954),
    "xquad_zh": (0.931, 0.992),
    "domainrag_ruc_zh": (0.332, 0.847),
    "squad_v1.1_dev_subset": (0.865, 0.981),
    "financebench": (0.233, 0.553),
    "dureader_search_zh": (0.51, 1.0),
    "covidqa_long_en": (0.65, 0.896),
}
_BATCH = 40


@dataclass(frozen=True)
class Passage:
    """A passage and the Markdown file it is uploaded as: its title is the heading, its set and number the name."""

    ident: str
    name: str
    text: str


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    with path.open(encoding="utf-8") as opened:
        for line in opened:
            yield json.loads(line)


def passages(name: str, *, prefix: str = "", without: Container[str] = ()) -> list[Passage]:
    """Every passage of a set but those `without`."""
    found = []
    for number, passage in enumerate(lines(FOLDER / name / "passages.jsonl")):
        title = " ".join((passage.get("title") or "").split())
        text = f"# {title}\n\n{passage['text']}" if title else passage["text"]
        if passage["id"] not in without:
            found.append(Passage(passage["id"], f"{prefix}{number:05}.md", text))
    return found


def questions(name: str, kind: str = "questions") -> list[dict[str, Any]]:
    """The questions of a set; none where there are none of that kind."""
    path = FOLDER / name / f"{kind}.jsonl"
    return list(lines(path)) if path.is_file() else []


def fill(client: httpx.Client, base: str, wanted: Iterable[Passage]) -> float:
    """Make a base of the passages; returns the seconds that took."""
    made = client.post("/knowledge_base/create_knowledge_base", json={"knowledge_base_name": base}).json()
    if made["code"] != 200:
        raise AssertionError(made)
    began, waiting = time.monotonic(), list(wanted)
    for at in range(0, len(waiting), _BATCH):
        files = [("files", (one.name, one.text.encode())) for one in waiting[at : at + _BATCH]]
        answer = client.post("/knowledge_base/upload_docs", data={"knowledge_base_name": base}, files=files).json()
        if answer["code"] != 200 or answer["data"]["failed_files"]:
            raise AssertionError(answer)
    return time.monotonic() - began


def rank_of(found: Iterable[str], gold: Container[str]) -> int:
    """The rank, from 1, of the first that is gold; 0 where none is."""
    return next((rank for rank, name in enumerate(found, 1) if name in gold), 0)


def answered(client: httpx.Client, base: str, question: str, **more: object) -> dict[str, Any]:
    """The whole answer to a question, as the one event that a request without `stream` gets."""
    body = {"query": question, "knowledge_base_name": base, **more}
    text = client.post("/chat/knowledge_base_chat", json=body).text
    event: dict[str, Any] = json.loads(text.removeprefix("data: ").strip())
    return event


def client_of(api: str) -> httpx.Client:
    """A patient client of the API."""
    return httpx.Client(base_url=api, trust_env=False, timeout=900)
