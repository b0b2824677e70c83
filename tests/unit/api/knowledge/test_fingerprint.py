"""Fingerprints: an edited copy is near, another text is not, a short one is not compared."""

from __future__ import annotations

import io
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.api.domain.knowledge import FileId, FileState, KnowledgeBaseId, KnowledgeFile
from services.api.domain.names import FileName
from services.api.knowledge.fingerprint import NEAR_BITS, Likeness, fingerprint, likenesses
from services.api.knowledge.orders import Upload
from tests.unit.api.knowledge.workbench import BASE, Workbench

SAMPLES = Path(__file__).resolve().parents[4] / "knowledge_base" / "samples" / "content"
ENGLISH = (SAMPLES / "overview.md").read_text(encoding="utf-8")
CHINESE = (SAMPLES / "快速了解.md").read_text(encoding="utf-8")
LATER = datetime(2026, 1, 1, tzinfo=UTC)


def printed(*texts: str) -> int:
    made = fingerprint(texts)
    assert made is not None
    return made


def bits(one: str, other: str) -> int:
    return (printed(one) ^ printed(other)).bit_count()


def sentences(seed: int, count: int = 60) -> str:
    """Chinese that means nothing, another for each seed."""
    drawn = random.Random(seed)  # noqa: S311
    return "。".join("".join(chr(drawn.randrange(0x4E00, 0x5E00)) for _ in range(12)) for _ in range(count))


@pytest.mark.parametrize("text", [ENGLISH, CHINESE, sentences(1)])
def test_how_a_text_is_set_does_not_matter(text: str):
    wide = text.upper().replace(",", "，").replace(" ", "\u3000 \n").replace("0", "０")
    assert bits(text, wide) == 0


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        (ENGLISH, {"knowledge": "information"}),
        (ENGLISH, {ENGLISH.splitlines()[-1]: "", "the ": "this "}),
        (CHINESE, {"知识库": "资料库"}),
        (CHINESE, {CHINESE.splitlines()[-1]: "二〇二六年三月修订。"}),
    ],
)
def test_an_edited_copy_is_near(text: str, changes: dict[str, str]):
    edited = text
    for old, new in changes.items():
        assert old in edited
        edited = edited.replace(old, new, 1)
    assert edited != text
    assert bits(text, edited) <= NEAR_BITS


def test_other_texts_are_not_near():
    prints = [printed(text) for text in (ENGLISH, CHINESE, *(sentences(seed) for seed in range(30)))]
    apart = [(one ^ other).bit_count() for at, one in enumerate(prints) for other in prints[:at]]
    assert min(apart) > NEAR_BITS


@pytest.mark.parametrize("text", ["", "。！？ -- ...", "年假五天。" * 40, "one two " * 500, sentences(1, 4)])
def test_short_texts_are_not_compared(text: str):
    assert fingerprint([text]) is None


def test_the_order_of_the_chunks_does_not_matter():
    parts = [sentences(1), sentences(2), sentences(3)]
    assert printed(*parts) == printed(*reversed(parts))


def test_a_very_long_text_takes_seconds_at_most():
    texts = [sentences(seed, 100) for seed in range(1000)]
    began = time.monotonic()
    printed(*texts)
    assert time.monotonic() - began < 10


def file(name: str, number: int, *, sha256: str = "", simhash: int | None = None, age: int = 0) -> KnowledgeFile:
    return KnowledgeFile(
        FileId(f"{number:032x}"), KnowledgeBaseId("a" * 32), FileName(name), 1, sha256 or name, 1, FileState.INDEXED,
        created_at=LATER - timedelta(days=age), modified_at=LATER, fingerprint=simhash,
    )  # fmt: skip


def test_the_same_bytes_are_duplicates_of_the_first():
    files = [file("a", 1, sha256="x"), file("b", 2, sha256="x", age=9), file("c", 3), file("d", 4, sha256="x")]
    first = FileName("b")
    assert [likenesses(files)[one.id].duplicate_of for one in files] == [first, None, None, first]


def test_files_are_similar_both_ways_and_copies_are_not_named_twice():
    apart = (1 << NEAR_BITS) - 1
    files = [
        file("a", 1, simhash=0), file("b", 2, simhash=apart << 20), file("c", 3, simhash=apart << 20 | 1),
        file("d", 4, sha256="b", simhash=apart << 20), file("e", 5), file("f", 6, simhash=0),
    ]  # fmt: skip
    found = {one.name.value: [name.value for name in likenesses(files)[one.id].similar_to] for one in files}
    assert found == {
        "a": ["b", "d", "f"], "b": ["a", "c", "f"], "c": ["b", "d"],
        "d": ["a", "c", "f"], "e": [], "f": ["a", "b", "d"],
    }  # fmt: skip


def test_every_pair_that_is_near_is_found():
    drawn = random.Random(7)  # noqa: S311
    prints = [drawn.getrandbits(64) for _ in range(100)]
    prints += [each ^ sum(1 << place for place in drawn.sample(range(64), NEAR_BITS)) for each in prints[:50]]
    files = [file(f"{number:03}", number, simhash=each) for number, each in enumerate(prints)]
    found = likenesses(files)
    for number in range(50):
        assert found[files[100 + number].id].similar_to == (files[number].name,)


def test_thousands_of_files_are_compared_in_moments():
    drawn = random.Random(1)  # noqa: S311
    files = [file(str(number), number, simhash=drawn.getrandbits(64)) for number in range(5000)]
    began = time.thread_time()  # of this work alone: other tests run beside it
    assert likenesses(files)[files[0].id] == Likeness()
    assert time.thread_time() - began < 2


async def test_a_file_has_its_fingerprint_when_it_can_be_found(bench: Workbench):
    text, edited = sentences(1, 6), sentences(1, 6)[:-1]
    one = await bench.add(text, FileName("one.txt"))
    other = await bench.add(edited, FileName("other.txt"))
    copy = await bench.add(text, FileName("copy.txt"))
    stored = await bench.service.add_file(BASE, Upload(FileName("raw.txt"), io.BytesIO(text.encode()), index=False))
    short = await bench.add("年假", FileName("short.txt"))
    assert one.fingerprint == copy.fingerprint == fingerprint([text])
    assert stored.fingerprint is short.fingerprint is None
    alike = likenesses(await bench.service.files(BASE))
    assert alike[one.id] == Likeness(None, (FileName("other.txt"),))
    assert alike[other.id] == Likeness(None, (FileName("copy.txt"), FileName("one.txt")))
    assert alike[copy.id].duplicate_of == alike[stored.id].duplicate_of == FileName("one.txt")
    assert alike[short.id] == Likeness()


async def test_a_new_version_has_a_fingerprint_of_its_own(bench: Workbench):
    first = await bench.add(sentences(1, 6))
    second = await bench.add(sentences(2, 6), replace=True)
    assert second.fingerprint not in {None, first.fingerprint}
    failed = await bench.add("!unreadable", replace=True)
    assert failed.state is FileState.FAILED
    assert failed.fingerprint == second.fingerprint  # what is found is the second version still
