"""What every splitter holds: subclass `SplitterContract`, say how to build one, inherit the tests."""

from __future__ import annotations

import string
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.api.domain.knowledge import Document, Place, Section
from services.api.domain.ports import Splitter
from services.api.knowledge.splitters.measure import THIRDS, width

Build = Callable[[int, int], Splitter]

_ALPHABET = "甲乙丙丁戊己庚辛。！？；，、：（）“”" + string.ascii_letters + string.digits + "  \n\n.,;:!?'\"()|-#\\"
_PLACES = [Place(page=1), Place(page=2), Place(page=2, heading=("第一章",)), Place()]
sections = st.builds(Section, st.text(_ALPHABET, min_size=1, max_size=400), st.sampled_from(_PLACES))
documents = st.builds(lambda found: Document(tuple(found)), st.lists(sections, max_size=8))
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


class SplitterContract:
    """Set `build` to a function of `chunk_chars` and `overlap_chars`."""

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
            there = _bare("".join(section.text for section in document.sections if section.place == passage.place))
            assert _bare(passage.text) in there

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
