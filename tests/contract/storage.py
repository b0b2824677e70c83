"""What every Storage must do."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.api.domain.conversation import Conversation, ConversationId, Turn, TurnId
from services.api.domain.knowledge import (
    AnsweringChoice,
    Chunk,
    ChunkId,
    FileFailure,
    FileId,
    FileState,
    KnowledgeBase,
    KnowledgeBaseId,
    KnowledgeFile,
    Place,
    Splitting,
)
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.ports import Storage
from services.foundation.errors import (
    ConversationNotFound,
    FileExists,
    FileNotInBase,
    KnowledgeBaseExists,
    KnowledgeBaseNotFound,
    StoreFailed,
)

MOMENT = datetime(2026, 11, 3, 8, 30, 0, 123456, tzinfo=UTC)


def make_base(name: str = "政策", digit: str = "a") -> KnowledgeBase:
    return KnowledgeBase(
        KnowledgeBaseId(digit * 32),
        KnowledgeBaseName(name),
        "说明",
        "minilm",
        "milvus",
        MOMENT,
        splitting=Splitting("recursive", 300, 0),
        answering=AnsweringChoice("strict", 0.0, preset="llm_chat"),
    )


def make_file(base: KnowledgeBase, name: str = "年假.pdf", digit: str = "1") -> KnowledgeFile:
    return KnowledgeFile(
        id=FileId(base.id[0] * 16 + digit * 16),
        knowledge_base_id=base.id,
        name=FileName(name),
        size_bytes=3_000_000_000,
        sha256="0" * 64,
        version=1,
        state=FileState.STORED,
        created_at=MOMENT,
        modified_at=MOMENT,
    )


def make_chunks(file: KnowledgeFile, count: int, start: int = 0) -> list[Chunk]:
    return [
        Chunk(
            id=ChunkId(f"{file.id[0]}{file.id[-1]}{number:030x}"),
            knowledge_base_id=file.knowledge_base_id,
            file_id=file.id,
            file_name=file.name,
            version=file.version,
            position=number - start,
            text=f"第{number}段 😀",
            place=Place(page=number + 1, heading=("总则", "假期")),
        )
        for number in range(start, start + count)
    ]


def make_thread(name: str, owner: str = "me", minutes: int = 0) -> Conversation:
    when = MOMENT + timedelta(minutes=minutes)
    return Conversation(ConversationId(name), owner, f"题 {name}", when, when)


def make_turn(name: str, thread: str | None, minutes: int = 0) -> Turn:
    when = MOMENT + timedelta(minutes=minutes)
    return Turn(
        TurnId(name), ConversationId(thread) if thread else None, "llm_chat", "问", "答", '[{"number": 1}]', when
    )


class StorageContract:
    """Inherit it and supply the fixture `storage`, started."""

    @pytest.fixture
    async def storage(self) -> Storage:
        raise NotImplementedError

    @pytest.fixture
    async def base(self, storage: Storage) -> KnowledgeBase:
        made = make_base()
        async with storage.begin() as work:
            await work.knowledge_bases.add(made)
        return made

    @pytest.fixture
    async def file(self, storage: Storage, base: KnowledgeBase) -> KnowledgeFile:
        made = make_file(base)
        async with storage.begin() as work:
            await work.files.save(made)
        return made

    async def test_a_base_comes_back_as_it_was_given(self, storage, base):
        async with storage.begin() as work:
            assert await work.knowledge_bases.get(base.name) == base
            assert await work.knowledge_bases.all() == [base]

    async def test_names_that_mean_the_same_base_conflict(self, storage):
        async with storage.begin() as work:
            await work.knowledge_bases.add(make_base("Straße", "a"))
        with pytest.raises(KnowledgeBaseExists):
            async with storage.begin() as work:
                await work.knowledge_bases.add(make_base("STRASSE", "b"))
        async with storage.begin() as work:
            assert (await work.knowledge_bases.get(KnowledgeBaseName("strasse"))).name.value == "Straße"

    async def test_an_absent_base_is_named(self, storage, base):
        async with storage.begin() as work:
            with pytest.raises(KnowledgeBaseNotFound, match="无此"):
                await work.knowledge_bases.get(KnowledgeBaseName("无此"))
            with pytest.raises(KnowledgeBaseNotFound):
                await work.knowledge_bases.update(make_base("无此", "b"))
            await work.knowledge_bases.remove(KnowledgeBaseId("b" * 32))

    async def test_an_updated_base_shows_at_once(self, storage, base):
        changed = dataclasses.replace(base, dimensions=384, description="")
        async with storage.begin() as work:
            await work.knowledge_bases.get(base.name)
            await work.knowledge_bases.update(changed)
            assert await work.knowledge_bases.get(base.name) == changed
        async with storage.begin() as work:
            assert await work.knowledge_bases.get(base.name) == changed

    async def test_a_failed_block_leaves_nothing(self, storage, base):
        async def fail() -> None:
            async with storage.begin() as work:
                await work.files.save(make_file(base))
                await work.knowledge_bases.remove(base.id)
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
        async with storage.begin() as work:
            assert await work.knowledge_bases.all() == [base]
            assert await work.files.of_base(base.id) == []

    async def test_a_cancelled_block_leaves_nothing_and_blocks_nobody(self, storage, base):
        entered = asyncio.Event()

        async def hang() -> None:
            async with storage.begin() as work:
                await work.files.save(make_file(base))
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hang())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with storage.begin() as work:
            assert await work.files.of_base(base.id) == []
            await work.files.save(make_file(base))

    async def test_readers_do_not_see_what_is_not_committed(self, storage, base):
        async with storage.begin() as writing:
            await writing.files.save(make_file(base))
            async with storage.begin() as reading:
                assert await reading.files.of_base(base.id) == []
        async with storage.begin() as reading:
            assert len(await reading.files.of_base(base.id)) == 1

    async def test_many_writers_lose_nothing(self, storage, base):
        async def save(number: int) -> None:
            async with storage.begin() as work:
                await work.files.of_base(base.id)
                await asyncio.sleep(0)
                await work.files.save(make_file(base, f"{number}.txt", "0123456789abcdef"[number]))

        await asyncio.gather(*(save(number) for number in range(12)))
        async with storage.begin() as work:
            assert await work.files.counts() == {base.id: 12}

    async def test_a_file_comes_back_as_it_was_saved(self, storage, base, file):
        changed = dataclasses.replace(
            file,
            version=2,
            state=FileState.FAILED,
            failure=FileFailure("file.empty", {"file": "年假.pdf", "page": 3, "share": 0.5, "whole": True, "by": None}),
            warnings=("第 3 页没有文字", "b"),
            loader="PdfLoader",
            splitter="sentences",
            fingerprint=(1 << 64) - 1,
            chunk_count=7,
            modified_at=MOMENT.astimezone(timezone(timedelta(hours=8))) + timedelta(days=1),
        )
        async with storage.begin() as work:
            assert await work.files.find(base.id, file.name) == file
            await work.files.save(changed)
            assert await work.files.find(base.id, file.name) == changed
        async with storage.begin() as work:
            assert await work.files.of_base(base.id) == [changed]

    async def test_one_name_is_one_file_of_a_base(self, storage, base, file):
        with pytest.raises(FileExists, match=r"年假\.pdf"):
            async with storage.begin() as work:
                await work.files.save(make_file(base, digit="2"))

    async def test_the_same_file_name_in_two_bases_is_two_files(self, storage, base, file):
        other = make_base("other", "b")
        async with storage.begin() as work:
            await work.knowledge_bases.add(other)
            await work.files.save(make_file(other))
            await work.chunks.replace(file, make_chunks(file, 2))
            await work.chunks.replace(make_file(other), make_chunks(make_file(other), 3))
        async with storage.begin() as work:
            await work.files.remove(file.id)
        async with storage.begin() as work:
            assert await work.files.find(base.id, file.name) is None
            assert len(await work.chunks.ids_of_base(other.id)) == 3
            assert await work.files.counts() == {other.id: 1}

    async def test_a_file_belongs_to_a_base(self, storage):
        with pytest.raises(KnowledgeBaseNotFound):
            async with storage.begin() as work:
                await work.files.save(make_file(make_base()))

    async def test_files_are_listed_by_name(self, storage, base):
        async with storage.begin() as work:
            for digit, name in enumerate(("b.txt", "c.txt", "a.txt")):
                await work.files.save(make_file(base, name, str(digit)))
        async with storage.begin() as work:
            assert [file.name.value for file in await work.files.of_base(base.id)] == ["a.txt", "b.txt", "c.txt"]

    async def test_chunks_come_back_as_they_were_given(self, storage, base, file):
        chunks = make_chunks(file, 3)
        chunks[1] = dataclasses.replace(chunks[1], place=Place(sheet="表1", row=2, last_row=9), text="长" * 4000)
        chunks[2] = dataclasses.replace(chunks[2], place=Place())
        async with storage.begin() as work:
            await work.chunks.replace(file, chunks)
        async with storage.begin() as work:
            assert await work.chunks.of_file(file.id) == chunks
            assert await work.chunks.ids_of_file(file.id) == [chunk.id for chunk in chunks]

    async def test_chunks_around_a_position(self, storage, base, file):
        chunks = make_chunks(file, 6)
        async with storage.begin() as work:
            await work.chunks.replace(file, chunks)
        async with storage.begin() as work:
            assert await work.chunks.around(file.id, 2, reach=2) == chunks[:5]
            assert await work.chunks.around(file.id, 5, reach=1) == chunks[4:]
            assert await work.chunks.around(FileId("0" * 32), 1, reach=9) == []

    async def test_replace_leaves_only_the_new_chunks(self, storage, base, file):
        async with storage.begin() as work:
            await work.chunks.replace(file, make_chunks(file, 5))
        newer = make_chunks(file, 4, start=3)
        async with storage.begin() as work:
            await work.chunks.replace(file, newer)
        async with storage.begin() as work:
            assert await work.chunks.of_file(file.id) == newer
            await work.chunks.replace(file, [])
            assert await work.chunks.ids_of_base(base.id) == set()

    async def test_chunks_belong_to_a_file(self, storage, base):
        with pytest.raises(FileNotInBase):
            async with storage.begin() as work:
                await work.chunks.replace(make_file(base), make_chunks(make_file(base), 1))

    async def test_fetch_keeps_the_order_asked_for_and_leaves_out_the_unknown(self, storage, base, file):
        chunks = make_chunks(file, 4)
        async with storage.begin() as work:
            await work.chunks.replace(file, chunks)
        asked = [chunks[2].id, ChunkId("f" * 32), chunks[0].id, chunks[2].id]
        async with storage.begin() as work:
            assert await work.chunks.fetch(base.id, asked) == [chunks[2], chunks[0]]
            assert await work.chunks.fetch(KnowledgeBaseId("b" * 32), asked) == []
            assert await work.chunks.fetch(base.id, []) == []

    async def test_thousands_of_chunks(self, storage, base, file):
        chunks = make_chunks(file, 3500)
        async with storage.begin() as work:
            await work.chunks.replace(file, chunks)
        async with storage.begin() as work:
            asked = [chunk.id for chunk in reversed(chunks)]
            assert await work.chunks.fetch(base.id, asked) == chunks[::-1]
            assert await work.chunks.ids_of_base(base.id) == set(asked)

    async def test_removing_a_base_removes_its_files_and_chunks(self, storage, base, file):
        async with storage.begin() as work:
            await work.chunks.replace(file, make_chunks(file, 2))
        async with storage.begin() as work:
            await work.knowledge_bases.remove(base.id)
        async with storage.begin() as work:
            assert await work.files.of_base(base.id) == []
            assert await work.chunks.ids_of_base(base.id) == set()
            assert await work.files.counts() == {}

    async def test_a_conversation_keeps_its_turns_in_order(self, storage):
        turns = [make_turn("t1", "a", 1), make_turn("t0", "a", 1), make_turn("t2", "a", 2)]
        async with storage.begin() as work:
            await work.conversations.open(make_thread("a"))
            for turn in turns:
                await work.conversations.add_turn(turn)
            await work.conversations.add_turn(make_turn("alone", None))
        async with storage.begin() as work:
            assert await work.conversations.turns(ConversationId("a")) == turns
            assert (await work.conversations.get(ConversationId("a"))).updated_at == turns[-1].created_at

    async def test_conversations_are_listed_by_owner_newest_first(self, storage):
        async with storage.begin() as work:
            for number, name in enumerate("abc"):
                await work.conversations.open(make_thread(name, minutes=number))
            await work.conversations.open(make_thread("d", owner="other"))
            await work.conversations.add_turn(make_turn("t", "a", minutes=30))
        async with storage.begin() as work:
            assert [thread.id for thread in await work.conversations.of_owner("me")] == ["a", "c", "b"]

    async def test_removing_a_conversation_removes_its_turns(self, storage):
        async with storage.begin() as work:
            await work.conversations.open(make_thread("a"))
            await work.conversations.add_turn(make_turn("t", "a"))
        async with storage.begin() as work:
            await work.conversations.remove(ConversationId("a"))
            await work.conversations.remove(ConversationId("never"))
        async with storage.begin() as work:
            assert await work.conversations.turns(ConversationId("a")) == []
            with pytest.raises(ConversationNotFound):
                await work.conversations.get(ConversationId("a"))

    async def test_a_turn_of_no_conversation_is_refused(self, storage):
        with pytest.raises(ConversationNotFound):
            async with storage.begin() as work:
                await work.conversations.add_turn(make_turn("t", "never"))

    async def test_a_turn_is_added_once(self, storage):
        async with storage.begin() as work:
            await work.conversations.add_turn(make_turn("t", None))
        with pytest.raises(StoreFailed):
            async with storage.begin() as work:
                await work.conversations.add_turn(make_turn("t", None))

    async def test_turns_are_restored_once_and_a_thread_never_grows_younger(self, storage):
        old, other = [make_turn("t0", "a", 1), make_turn("t1", "a", 2)], make_turn("t2", "b", 9)
        async with storage.begin() as work:
            await work.conversations.open(make_thread("a", minutes=5))
            await work.conversations.open(make_thread("b"))
            await work.conversations.add_turn(old[0])
            assert await work.conversations.restore([*old, other, other, make_turn("alone", None)]) == 3
        async with storage.begin() as work:
            assert await work.conversations.restore([*old, other, make_turn("alone", None)]) == 0
            assert await work.conversations.restore([]) == 0
            assert await work.conversations.turns(ConversationId("a")) == old
            assert (await work.conversations.get(ConversationId("a"))).updated_at == old[1].created_at
            assert (await work.conversations.get(ConversationId("b"))).updated_at == other.created_at
            assert await work.conversations.restore([make_turn("t3", "b", 3)]) == 1
            assert (await work.conversations.get(ConversationId("b"))).updated_at == other.created_at

    async def test_a_thousand_turns_are_restored(self, storage):
        turns = [make_turn(f"t{number}", None, number) for number in range(1200)]
        async with storage.begin() as work:
            assert await work.conversations.restore(turns[:700]) == 700
            assert await work.conversations.restore(turns) == 500

    async def test_a_turn_of_no_conversation_is_not_restored(self, storage):
        with pytest.raises(ConversationNotFound):
            async with storage.begin() as work:
                await work.conversations.restore([make_turn("t", "never")])
