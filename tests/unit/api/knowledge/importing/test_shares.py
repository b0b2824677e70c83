"""Records of 0.2.x as ours: which base a folder and a record become, with which model and store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.api.domain.former import FormerBase, FormerFile
from services.api.domain.knowledge import FileState, KnowledgeBase, KnowledgeBaseId
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.knowledge.files import StoredFile
from services.api.knowledge.importing.mapping import Choices, is_awaited, made_base, made_file
from services.api.knowledge.importing.report import Fate, FileOutcome
from services.api.knowledge.importing.shares import shares
from services.api.knowledge.importing.survey import FoundBase, FoundFile
from services.api.knowledge.orders import Catalogue
from services.api.knowledge.splitters import SPLITTERS

MOMENT = datetime(2024, 2, 29, 8, 15, 30, tzinfo=UTC)
CHOICES = Choices(
    Catalogue(["minilm", "BAAI/bge-m3", "m3e-base"], "minilm", ["milvus", "other"], SPLITTERS, []), "milvus"
)


def former(name: str, model: str = "minilm", store: str = "milvus", *files: FormerFile) -> FormerBase:
    return FormerBase(name, "about", model, store, MOMENT, files)


def record(path: str) -> FormerFile:
    return FormerFile(path, 4, 7, MOMENT, MOMENT, "UnstructuredFileLoader", "ChineseRecursiveTextSplitter")


@pytest.mark.parametrize(
    ("model", "expected", "is_told"),
    [
        ("minilm", "minilm", False),
        ("m3e-base", "m3e-base", False),
        ("bge-m3", "BAAI/bge-m3", False),
        ("BAAI/BGE-M3", "BAAI/bge-m3", False),
        ("/models/m3e-base/", "m3e-base", False),
        ("bge-large-zh-v1.5", "minilm", True),
        ("", "minilm", False),
    ],
)
def test_the_embedding_model_is_the_configured_one_of_that_name(model: str, expected: str, is_told: bool):
    base, remarks = made_base(KnowledgeBaseName("a"), former("a", model), CHOICES)
    assert base.embedding_model == expected
    assert bool(remarks) is is_told
    if is_told:
        assert model in remarks[0]
        assert "'minilm'" in remarks[0]
        assert "init_database.py -r -n 'a'" in remarks[0]


@pytest.mark.parametrize(
    ("store", "expected", "told"), [("Milvus", "milvus", 0), ("faiss", "milvus", 1), ("other", "other", 0)]
)
def test_the_vector_store_is_ours(store: str, expected: str, told: int):
    base, remarks = made_base(KnowledgeBaseName("a"), former("a", store=store), CHOICES)
    assert (base.vector_store, len(remarks)) == (expected, told)


def test_a_base_keeps_its_description_and_its_time():
    base, _ = made_base(KnowledgeBaseName("a"), former("a"), CHOICES)
    assert (base.description, base.created_at, base.dimensions) == ("about", MOMENT, None)
    alone, remarks = made_base(KnowledgeBaseName("b"), None, CHOICES)
    assert (alone.description, alone.embedding_model, alone.vector_store, remarks) == ("", "minilm", "milvus", [])
    assert alone.id != base.id


def test_a_file_record_is_to_be_indexed_or_says_that_the_file_is_absent():
    base, _ = made_base(KnowledgeBaseName("a"), None, CHOICES)
    here = made_file(base, FileName("x.txt"), record("x.txt"), StoredFile(9, "f" * 64))
    assert (here.state, here.version, here.size_bytes, here.sha256) == (FileState.PENDING, 4, 9, "f" * 64)
    assert (here.created_at, here.loader, is_awaited(here)) == (MOMENT, "UnstructuredFileLoader", False)
    absent = made_file(base, FileName("x.txt"), record("x.txt"), None)
    assert (absent.state, absent.size_bytes, absent.sha256, is_awaited(absent)) == (FileState.FAILED, 7, "", True)
    assert absent.failure is not None
    assert absent.failure.code == "file.not_found"


def test_folder_and_record_of_one_name_are_one_base():
    found = [FoundBase("Docs"), FoundBase("loose"), FoundBase("DOCS")]
    taken, refused = shares(found, [former("DOCS"), former("recorded")], {}, CHOICES)
    assert [(share.base.name.value, share.base.description, share.outcome.is_new) for share in taken] == [
        ("DOCS", "about", True), ("loose", "", True), ("recorded", "about", True),
    ]  # fmt: skip
    ((name, reason),) = [(outcome.name, outcome.refusal) for outcome in refused]
    assert name == "Docs"
    assert "means the same base as 'DOCS'" in reason


def test_a_base_that_is_here_stays_as_it_is():
    name = KnowledgeBaseName("Docs")
    ours = KnowledgeBase(KnowledgeBaseId("a" * 32), name, "ours", "m3e-base", "other", MOMENT)
    (share,), _ = shares([FoundBase("docs")], [former("docs", "unknown", "faiss")], {name.key: ours}, CHOICES)
    assert share.base == ours
    assert (share.outcome.is_new, share.outcome.remarks) == (False, [])


@pytest.mark.parametrize("name", ["合同(旧)", "info.db", "", ".x", "a/b", "x" * 101])
def test_a_name_we_do_not_accept_is_refused_once_with_a_remedy(name: str):
    folder = FoundBase(name, (FoundFile("x.txt", Path("x.txt"), 1),))
    taken, (refused,) = shares([folder], [former(name, "", "", record("x.txt"), record("y.txt"))], {}, CHOICES)
    assert taken == []
    assert (refused.name, refused.counts) == (name, {Fate.FAILED: 2})
    assert "copy its folder under another name" in refused.refusal


def test_of_a_base_whose_folder_is_refused_nothing_is_taken_over():
    taken, (refused,) = shares([FoundBase("a", refusal="a is a link")], [former("a")], {}, CHOICES)
    assert (taken, refused.refusal) == ([], "a is a link")


def test_a_record_of_a_file_that_was_left_out_is_left_out_too(tmp_path: Path):
    files = (FoundFile("sub/x.txt", tmp_path / "x.txt", 1),)
    found = FoundBase("a", files, (FileOutcome("link.txt", Fate.FAILED, "a link"),))
    records = [record(path) for path in ("sub/x.txt", "link.txt", "gone.txt", "bad\u202e.txt")]
    (share,), _ = shares([found], [former("a", "minilm", "milvus", *records)], {}, CHOICES)
    share.settle_names()
    assert [(kept.path, name.value) for kept, name in share.records()] == [
        ("sub/x.txt", "sub__x.txt"), ("gone.txt", "gone.txt"),
    ]  # fmt: skip
    assert [(base.value, name.value, file.path) for base, name, file in share.targets()] == [
        ("a", "sub__x.txt", "sub/x.txt")
    ]
