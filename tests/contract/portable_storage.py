"""What every Storage must do alike although databases differ in it; stands beside `StorageContract`."""

from __future__ import annotations

import asyncio
import dataclasses
import sys

from services.api.domain.conversation import ConversationId
from services.api.domain.knowledge import FileFailure
from services.api.domain.names import FileName
from tests.contract.storage import make_base, make_chunks, make_file, make_thread, make_turn

_PROGRAM = """
import asyncio, sys
from services.api.storage.database import SqlStorage

async def main():
    storage = SqlStorage(sys.argv[1])
    await storage.start()
    await storage.stop()

asyncio.run(main())
"""


async def opened_at_once(url: str, count: int) -> list[int]:
    """Open a database from so many programs at the same time; how each of them ended."""
    started = [await asyncio.create_subprocess_exec(sys.executable, "-c", _PROGRAM, url) for _ in range(count)]
    return [await process.wait() for process in started]


class PortableStorageContract:
    """Uses `storage`, `base` and `file` of `StorageContract`."""

    async def test_files_are_listed_by_code_point(self, storage, base):
        names = ["b.txt", "年假.txt", "c.txt", "B.txt", "a_1.txt", "a.txt", "é.txt", "a-2.txt", "一.txt"]
        async with storage.begin() as work:
            for digit, name in enumerate(names):
                await work.files.save(make_file(base, name, str(digit)))
        async with storage.begin() as work:
            assert [file.name.value for file in await work.files.of_base(base.id)] == sorted(names)

    async def test_bases_are_listed_by_code_point(self, storage):
        async with storage.begin() as work:
            for digit, name in enumerate(["b", "年假", "a_c", "a-b", "C", "é"]):
                await work.knowledge_bases.add(make_base(name, str(digit)))
        async with storage.begin() as work:
            listed = [base.name.key for base in await work.knowledge_bases.all()]
        assert listed == sorted(listed)

    async def test_names_that_differ_in_case_are_two_files_and_no_sign_is_a_pattern(self, storage, base):
        async with storage.begin() as work:
            await work.files.save(make_file(base, "a%.txt", "1"))
            await work.files.save(make_file(base, "A%.txt", "2"))
        async with storage.begin() as work:
            assert (await work.files.find(base.id, FileName("A%.txt"))).id == make_file(base, digit="2").id
            assert await work.files.find(base.id, FileName("ab.txt")) is None

    async def test_a_null_character_is_left_out(self, storage, base, file):
        """No text has one, but a question may come with it; PostgreSQL keeps none."""
        turn = dataclasses.replace(make_turn("t", "a"), question="a\0b", answer="\0")
        chunk = dataclasses.replace(make_chunks(file, 1)[0], text="x\0y")
        failed = dataclasses.replace(file, failure=FileFailure("file.unreadable", {"reason": "a\0b"}))
        async with storage.begin() as work:
            await work.conversations.open(dataclasses.replace(make_thread("a"), title="题\0"))
            await work.conversations.add_turn(turn)
            await work.chunks.replace(file, [chunk])
            await work.files.save(failed)
        async with storage.begin() as work:
            (kept,) = await work.conversations.turns(ConversationId("a"))
            assert (kept.question, kept.answer) == ("ab", "")
            assert (await work.conversations.get(ConversationId("a"))).title == "题"
            assert [chunk.text for chunk in await work.chunks.of_file(file.id)] == ["xy"]
            assert (await work.files.get(file.id)).failure.facts["reason"].replace("\0", "") == "ab"
