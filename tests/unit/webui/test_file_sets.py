"""What a page knows of a file chat's files, and how that changes."""

from __future__ import annotations

import pytest

from services.wire.chatchat import FileDetails, TemporaryUpload
from webui.file_sets import (
    FileSet,
    after_expiry,
    after_failure,
    after_upload,
    is_pending,
    is_readable,
    period_of,
    unlisted,
)


def file(name: str, state: str = "indexed", chunks: int = 3) -> FileDetails:
    return FileDetails(name=name, size_bytes=1, state=state, version=1, chunk_count=chunks, modified_at="")


def test_an_upload_opens_a_set_and_forgets_what_failed_before() -> None:
    answer = TemporaryUpload(id="t1", failed_files=[{"a.exe": "no such loader"}, {"b.pdf": "a password"}])
    known = after_upload(answer)
    assert known == FileSet("t1", (("a.exe", "no such loader"), ("b.pdf", "a password")))
    assert after_upload(TemporaryUpload(id="t1", failed_files=[])) == FileSet("t1")
    assert unlisted(known, [file("b.pdf", "failed")]) == [("a.exe", "no such loader")]


def test_an_upload_that_fails_as_a_whole_keeps_the_files_of_before() -> None:
    known = after_failure(FileSet("t1"), ["a.pdf", "b.pdf"], "the API is busy")
    assert known == FileSet("t1", (("a.pdf", "the API is busy"), ("b.pdf", "the API is busy")))


def test_an_expired_set_has_no_id_and_the_next_upload_begins_another() -> None:
    assert (after_expiry().id, after_expiry().has_expired) == ("", True)
    assert not after_upload(TemporaryUpload(id="t2", failed_files=[])).has_expired


def test_files_can_be_asked_about_when_something_of_them_is_indexed() -> None:
    assert not is_readable([])
    assert not is_readable([file("a.pdf", "pending", 0), file("b.pdf", "failed", 0)])
    assert is_readable([file("a.pdf", "pending", 0), file("c.pdf")])
    assert is_pending([file("a.pdf", "pending", 0), file("c.pdf")])
    assert not is_pending([file("b.pdf", "failed", 0), file("c.pdf")])


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (120, ("hours", "2")),
        (60, ("hours", "1")),
        (90, ("minutes", "90")),
        (15, ("minutes", "15")),
        (0.5, ("minutes", "0.5")),
    ],
)
def test_a_time_is_said_in_hours_where_they_are_whole(minutes: float, said: tuple[str, str]) -> None:
    assert period_of(minutes) == said
