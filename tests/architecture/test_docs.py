"""Documents that say what the code says: the glossary, and the pages generated from it."""

from __future__ import annotations

import ast
import re

import pytest

from services.foundation.errors import every_error
from tests.architecture.generate_docs import PAGES, settings
from tests.architecture.sources import ROOT, product

HOUSE_WORDS = {
    "KnowledgeBase",
    "KnowledgeFile",
    "Document",
    "Chunk",
    "Hit",
    "Citation",
    "Loader",
    "Splitter",
    "Embedder",
    "VectorStore",
    "Retriever",
    "Reranker",
    "ContextSource",
    "SearchEngine",
    "Tool",
    "Prompt",
    "Question",
    "ChatEvent",
    "Answerer",
    "Message",
    "Turn",
    "Conversation",
    "Feedback",
    "Engine",
    "Worker",
    "Lease",
    "Gateway",
    "Supervisor",
    "Shelf",
    "Kind",
    "Dialect",
}
"""The words of the house plan; one that becomes a class or protocol must be in the glossary."""


def classes() -> set[str]:
    """Every class, and every type alias of the domain, in services/."""
    found = set()
    for source in product():
        if source.path.startswith("services/"):
            found |= {node.name for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)}
        if source.path.startswith("services/api/domain/"):
            assigned = [node.targets[0] for node in source.tree.body if isinstance(node, ast.Assign)]
            found |= {target.id for target in assigned if isinstance(target, ast.Name)}
    return found


def glossary() -> list[tuple[str, set[str], str]]:
    """Word, nouns and meaning of each row."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:1] == "|"]
    return [(word, set(re.findall(r"`(\w+)`", nouns)), meaning) for word, nouns, meaning in rows[2:]]


def test_every_noun_of_the_glossary_exists():
    nouns = set().union(*(nouns for _, nouns, _ in glossary()))
    assert nouns - classes() == set()


def test_every_word_of_the_house_that_exists_is_explained():
    nouns = set().union(*(nouns for _, nouns, _ in glossary()))
    assert (HOUSE_WORDS & classes()) - nouns == set()


def test_a_word_stands_once_with_nouns_and_a_meaning():
    words = [word for word, _, _ in glossary()]
    assert len(words) == len(set(words))
    assert [word for word, nouns, meaning in glossary() if not nouns or not meaning.endswith(".")] == []


@pytest.mark.parametrize("path", PAGES)
def test_a_generated_page_is_up_to_date(path: str):
    assert (ROOT / path).read_text(encoding="utf-8") == PAGES[path](), "run `make docs`"


def test_every_setting_is_described():
    assert [".".join(each.path) for each in settings() if not each.description] == []


def test_every_failure_has_a_row():
    page = PAGES["docs/reference/errors.md"]()
    assert [each.code for each in every_error() if f"| `{each.code}` |" not in page] == []
