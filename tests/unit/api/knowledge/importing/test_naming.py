"""The names that files in sub-folders get."""

from __future__ import annotations

import hashlib

import pytest

from services.api.domain.names import FileName
from services.api.knowledge.importing.naming import named


def different(one: str, other: str) -> bool:
    assert one != other
    return False


def values(*paths: str, same=different) -> dict[str, str]:
    found = named(set(paths), same)
    return {path: name.value if isinstance(name, FileName) else f"! {name}" for path, name in found.items()}


def digits(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:8]


def test_a_plain_name_stays_and_folders_are_joined():
    assert values("年假.txt", "2023/年假.txt", "a/b/c.tar.gz", "a\\x.md") == {
        "年假.txt": "年假.txt",
        "2023/年假.txt": "2023__年假.txt",
        "a/b/c.tar.gz": "a__b__c.tar.gz",
        "a\\x.md": "a__x.md",
    }


def test_of_two_files_that_would_get_one_name_the_deeper_is_marked():
    assert values("a/b.txt", "a__b.txt") == {"a__b.txt": "a__b.txt", "a/b.txt": f"a__b~{digits('a/b.txt')}.txt"}


def test_two_files_of_one_name_and_one_content_are_one_file():
    def same(one: str, other: str) -> bool:
        assert {one, other} == {"a/b.txt", "a__b.txt"}
        return True

    assert values("a/b.txt", "a__b.txt", same=same) == {"a/b.txt": "a__b.txt", "a__b.txt": "a__b.txt"}


def test_names_that_only_look_different_are_told_apart():
    composed, decomposed = "é.txt", "e\u0301.txt"
    found = values(composed, decomposed)
    assert len(set(found.values())) == 2
    assert found == values(decomposed, composed)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("con.txt", "reserved"),
        ("bad\u202ename.txt", "direction character"),
        (" x.txt", "begins or ends with a space"),
        ("长" * 70 + "/" + "名" * 70 + ".txt", "bytes, more than the limit of 240"),
        ("../x.txt", "leads out"),
        ("a/../x.txt", "leads out"),
        ("/etc/passwd", "leads out"),
        ("a//x.txt", "leads out"),
        (".hidden/x.txt", "begins with a dot"),
    ],
)
def test_what_we_cannot_name_is_refused_with_the_reason_and_the_remedy(path: str, reason: str):
    refused = values(path)[path]
    assert reason in refused
    assert "rename it there and import again" in refused


def test_a_name_in_another_encoding_gets_a_remedy_of_its_own():
    path = "年假.txt".encode("gbk").decode("utf-8", "surrogateescape")
    assert "convmv -f gbk" in values(path)[path]
