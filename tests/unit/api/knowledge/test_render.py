"""Knowledge nouns on the 0.2.10 wire: distances, metadata, sentences."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.domain.knowledge import FileFailure, FileState, Place
from services.api.knowledge.render import (
    base_details,
    distance,
    file_details,
    found_document,
    place_facts,
    similarity_floor,
)
from tests.contract.storage import make_base, make_file
from tests.unit.api.chat.samples import hit


@pytest.mark.parametrize(("similarity", "expected"), [(1.0, 0.0), (0.5, 1.0), (0.0, 2.0)])
def test_the_score_is_a_distance_lower_is_better(similarity: float, expected: float):
    assert distance(similarity) == expected


@given(st.floats(0, 2))
def test_a_ceiling_of_distance_lets_exactly_the_nearer_pass(threshold: float):
    floor = similarity_floor(threshold)
    assert 0 <= floor <= 1
    assert distance(floor) == pytest.approx(threshold)


def test_a_found_document_has_the_recorded_keys_in_their_order():
    body = found_document(hit("甲", file="说明.pdf", place=Place(page=3, heading=("一", "二")), similarity=0.75))
    dumped = body.model_dump()
    assert list(dumped) == ["page_content", "metadata", "type", "id", "score"]
    assert (dumped["page_content"], dumped["type"], dumped["score"]) == ("甲", "Document", 0.5)
    assert dumped["metadata"] == {
        "source": "说明.pdf", "page": 3, "heading": "一 > 二", "similarity": 0.75, "cosine": None, "coverage": None,
        "relevance": None,
    }  # fmt: skip


def test_a_place_says_only_what_is_known():
    assert place_facts(Place()) == {}
    assert place_facts(Place(sheet="表", row=2, last_row=9)) == {"sheet": "表", "row": 2, "last_row": 9}


def test_a_failed_file_says_why_in_the_asked_language():
    file = dataclasses.replace(
        make_file(make_base()), state=FileState.FAILED, failure=FileFailure("file.encrypted", {"file": "年假.pdf"})
    )
    assert "password" in (file_details(file, "en").failure or "")
    assert "密码" in (file_details(file, "zh-CN").failure or "")
    assert file_details(file, "en").failure_code == "file.encrypted"


def test_a_failure_of_a_newer_version_is_still_a_sentence():
    file = dataclasses.replace(make_file(make_base()), failure=FileFailure("from.the.future", {"x": 1}))
    assert "from.the.future" in (file_details(file, "en").failure or "")


def test_details_of_a_base_and_of_a_healthy_file():
    details = base_details(make_base(), 3)
    assert (details.name, details.file_count, details.created_at) == ("政策", 3, "2026-11-03T08:30:00.123456+00:00")
    healthy = file_details(make_file(make_base()), "en")
    assert (healthy.state, healthy.failure, healthy.failure_code, healthy.warnings) == ("stored", None, None, [])
