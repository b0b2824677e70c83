"""Finds a presentation's slides: the newest edit, its directory of objects, the list of slides and their notes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.api.knowledge.loaders.legacy.powerpoint.records import Record, inner, record_at, records

_DOCUMENT, _SLIDE, _NOTES = 0x03E8, 0x03EE, 0x03F0
_EDIT, _DIRECTORY = 0x0FF5, 0x1772
_LIST, _ENTRY = 0x0FF0, 0x03F3
_SLIDES, _NOTES_PAGES = 0, 2
_SLIDE_ATOM = 0x03EF
_NOTES_REFERENCE_AT = 16
_EDIT_WITH_KEY_BYTES = 32
_CURRENT_EDIT_AT = 16
_ENCRYPTED_TOKEN = 0xF3D1C4DF


@dataclass(frozen=True, slots=True)
class SlideParts:
    """Where a slide lies, the texts its entry in the list of slides keeps, and where its speaker notes lie."""

    slide: Record | None
    listed: list[Record] = field(default_factory=list)
    notes: Record | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    reference: int
    ident: int
    listed: list[Record]


class Presentation:
    """A presentation's main stream, with the directory of its objects as the newest edit left them."""

    def __init__(self, stream: bytes, current_user: bytes) -> None:
        self.stream = stream
        self._edits = list(self._edit_chain(current_user))
        self._offsets = self._directory()
        self._taken: set[int] = set()

    def is_encrypted(self, current_user: bytes) -> bool:
        """Whether a password is needed."""
        token = int.from_bytes(current_user[12:16], "little")
        return token == _ENCRYPTED_TOKEN or any(
            edit.end - edit.start >= _EDIT_WITH_KEY_BYTES and self._number(edit.start + 28) for edit in self._edits
        )

    def slides(self) -> tuple[list[SlideParts], bool]:
        """The slides in order, and whether the list of slides could be read; if not, they are in the file's order."""
        notes = {entry.ident: entry.reference for entry in self._entries(_NOTES_PAGES)}
        found = []
        for entry in self._entries(_SLIDES):
            slide = self._page(entry.reference, _SLIDE)
            found.append(SlideParts(slide, entry.listed, self._page(notes.get(self._notes_of(slide), -1), _NOTES)))
        if any(parts.slide for parts in found) or any(parts.listed for parts in found):
            return found, True
        return [SlideParts(record) for record in self._top() if record.kind == _SLIDE], False

    def _top(self) -> Iterator[Record]:
        return records(self.stream, 0, len(self.stream))

    def _number(self, at: int) -> int:
        return int.from_bytes(self.stream[at : at + 4], "little")

    def _edit_chain(self, current_user: bytes) -> Iterator[Record]:
        """The edits from the newest to the oldest; where the pointer to the newest is damaged, the last in the file."""
        at = int.from_bytes(current_user[_CURRENT_EDIT_AT : _CURRENT_EDIT_AT + 4], "little")
        edit = record_at(self.stream, at, len(self.stream))
        if edit is None or edit.kind != _EDIT:
            edit = max((record for record in self._top() if record.kind == _EDIT), key=_start, default=None)
        seen: set[int] = set()
        while edit is not None and edit.kind == _EDIT and edit.start not in seen:
            seen.add(edit.start)
            yield edit
            edit = record_at(self.stream, self._number(edit.start + 8) or -1, len(self.stream))

    def _directory(self) -> dict[int, int]:
        """Object number → offset. What a newer edit says holds."""
        offsets: dict[int, int] = {}
        left_bytes = len(self.stream)
        for edit in self._edits:
            found = record_at(self.stream, self._number(edit.start + 12), len(self.stream))
            if found is None or found.kind != _DIRECTORY:
                continue
            left_bytes -= found.end - found.start
            if left_bytes < 0:
                break
            for reference, offset in self._directory_entries(found):
                offsets.setdefault(reference, offset)
        return offsets

    def _directory_entries(self, directory: Record) -> Iterator[tuple[int, int]]:
        at = directory.start
        while at + 4 <= directory.end:
            head = self._number(at)
            first, count = head & 0xFFFFF, head >> 20
            at += 4
            for number in range(min(count, (directory.end - at) // 4)):
                yield first + number, self._number(at + 4 * number)
            at += 4 * count

    def _object(self, reference: int, kind: int) -> Record | None:
        record = record_at(self.stream, self._offsets.get(reference, -1), len(self.stream))
        return record if record is not None and record.kind == kind else None

    def _page(self, reference: int, kind: int) -> Record | None:
        """A slide or page of notes, each once: a list may name one a million times."""
        record = self._object(reference, kind)
        if record is None or record.start in self._taken:
            return None
        self._taken.add(record.start)
        return record

    def _entries(self, instance: int) -> Iterator[_Entry]:
        """The entries of the list of slides, or of the pages of notes, each with the texts that follow it."""
        for lists in self._lists(instance):
            entry: _Entry | None = None
            for record in inner(self.stream, lists):
                if record.kind == _ENTRY and record.end - record.start >= 16:
                    if entry is not None:
                        yield entry
                    reference, _, _, ident = struct.unpack_from("<4I", self.stream, record.start)
                    entry = _Entry(reference, ident, [])
                elif entry is not None:
                    entry.listed.append(record)
            if entry is not None:
                yield entry

    def _lists(self, instance: int) -> Iterator[Record]:
        reference = self._number(self._edits[0].start + 16) if self._edits else -1
        main = self._object(reference, _DOCUMENT) or next((top for top in self._top() if top.kind == _DOCUMENT), None)
        if main is not None:
            for record in inner(self.stream, main):
                if record.kind == _LIST and record.instance == instance:
                    yield record

    def _notes_of(self, slide: Record | None) -> int:
        for record in inner(self.stream, slide) if slide is not None else ():
            if record.kind == _SLIDE_ATOM and record.end - record.start >= _NOTES_REFERENCE_AT + 4:
                return self._number(record.start + _NOTES_REFERENCE_AT)
        return 0


def _start(record: Record) -> int:
    return record.start
