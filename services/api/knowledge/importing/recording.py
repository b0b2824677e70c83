"""Writes what the old installation had on record, inside one unit of work that the importer opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from services.api.domain.conversation import Conversation, ConversationId, Turn
from services.api.domain.former import FormerRecords
from services.api.domain.knowledge import FileState
from services.api.domain.ports import UnitOfWork
from services.api.knowledge.importing.mapping import is_awaited, made_file
from services.api.knowledge.importing.report import ImportReport
from services.api.knowledge.importing.shares import Share
from services.foundation.errors import ConversationNotFound

_TITLE_CHARS: Final = 200


class Recording:
    """Adds what is not here yet, counts in `report` what was and was not, and changes nothing that was."""

    def __init__(self, work: UnitOfWork, report: ImportReport) -> None:
        self._work = work
        self._report = report
        self._open: set[ConversationId] = set()

    async def take_base(self, share: Share) -> None:
        """A base with its file records.

        Raises:
            KnowledgeBaseExists: somebody made a base of that name since.
        """
        outcome = share.outcome
        if outcome.is_new:
            await self._work.knowledge_bases.add(share.base)
        known = {file.name: file for file in await self._work.files.of_base(share.base.id)}
        for record, name in share.records():
            stored, here = share.stored.get(name), known.get(name)
            if here is None:
                known[name] = made_file(share.base, name, record, stored)
                await self._work.files.save(known[name])
                outcome.records_taken += 1
                if record.edited:
                    outcome.remarks.append(f"the passages of '{name}' were edited by hand; they are made anew from it")
            elif stored is not None and is_awaited(here):
                found = dataclasses.replace(
                    here, state=FileState.PENDING, failure=None, size_bytes=stored.size_bytes, sha256=stored.sha256
                )
                await self._work.files.save(found)
                outcome.records_taken += 1
            else:
                outcome.records_here += 1

    async def take_turns(self, former: FormerRecords) -> None:
        """The conversations, and what was said in them and outside of any."""
        listed = {thread.id: thread for thread in await former.conversations()}
        async for turns in former.turns():
            await self._open_threads(turns, listed)
            taken = await self._work.conversations.restore(turns)
            self._report.turns_taken += taken
            self._report.turns_here += len(turns) - taken
        for thread in listed.values():
            await self._open_thread(thread)
        left = await former.left_behind()
        if left.feedback:
            self._report.remarks.append(f"answers that were rated: {left.feedback}; their ratings are not taken over")
        if left.summaries:
            self._report.remarks.append(f"summaries of files: {left.summaries}; they are not taken over")

    async def _open_threads(self, turns: Sequence[Turn], listed: dict[ConversationId, Conversation]) -> None:
        for turn in turns:
            thread = turn.conversation_id
            if thread is not None and thread not in self._open:
                unlisted = Conversation(thread, "", turn.question, turn.created_at, turn.created_at)
                await self._open_thread(listed.get(thread, unlisted))

    async def _open_thread(self, thread: Conversation) -> None:
        self._open.add(thread.id)
        try:
            await self._work.conversations.get(thread.id)
        except ConversationNotFound:
            await self._work.conversations.open(dataclasses.replace(thread, title=thread.title[:_TITLE_CHARS]))
