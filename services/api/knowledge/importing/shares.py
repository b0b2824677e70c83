"""One base of the old installation with all that is known of it: folder, records, and what they become here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.api.domain.former import FormerBase, FormerFile
from services.api.domain.knowledge import KnowledgeBase
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.knowledge.files import StoredFile
from services.api.knowledge.importing.copying import Target, are_same
from services.api.knowledge.importing.mapping import Choices, made_base
from services.api.knowledge.importing.naming import named
from services.api.knowledge.importing.report import BaseOutcome, Fate, FileOutcome
from services.api.knowledge.importing.survey import FoundBase
from services.foundation.errors import InvalidName


@dataclass(slots=True)
class Share:
    """One base's share of an import.

    Attributes:
        base: what it becomes, or the base of that name that is here already.
        names: path there → our name, or why there is none.
        stored: what lies here of it.
    """

    outcome: BaseOutcome
    base: KnowledgeBase
    found: FoundBase | None
    former: FormerBase | None
    names: Mapping[str, FileName | str] = field(default_factory=dict)
    stored: dict[FileName, StoredFile] = field(default_factory=dict)

    def targets(self) -> Iterator[Target]:
        """What is to be copied, and where to."""
        for file in self.found.files if self.found else ():
            name = self.names[file.path]
            if isinstance(name, FileName):
                yield self.base.name, name, file

    def records(self) -> Iterator[tuple[FormerFile, FileName]]:
        """The file records whose file was not left out and has a name here."""
        for record in self.former.files if self.former else ():
            name = self.names.get(record.path)
            if isinstance(name, FileName):
                yield record, name

    def settle_names(self) -> None:
        """Name every file. Blocking: files that would have one name are compared."""
        files = {file.path: file for file in self.found.files} if self.found else {}
        left_out = {outcome.path for outcome in self.found.left_out} if self.found else set()
        on_record = {record.path for record in self.former.files} if self.former else set()

        def same(one: str, other: str) -> bool:
            return one in files and other in files and are_same(files[one], files[other])

        self.names = named((files.keys() | on_record) - left_out, same)


@dataclass(frozen=True, slots=True)
class _Pair:
    name: KnowledgeBaseName
    found: FoundBase | None
    former: FormerBase | None


def shares(
    found: Sequence[FoundBase],
    records: Sequence[FormerBase],
    known: Mapping[str, KnowledgeBase],
    choices: Choices,
) -> tuple[list[Share], list[BaseOutcome]]:
    """The bases that can be taken over, and those that cannot; `known` holds the bases that are here, by key."""
    pairs, refused = _paired(found, records)
    taken = []
    for key, pair in sorted(pairs.items()):
        outcome = BaseOutcome(pair.found.name if pair.found else pair.name.value, is_new=key not in known)
        base = known.get(key)
        if base is None:
            base, outcome.remarks = made_base(pair.name, pair.former, choices)
        taken.append(Share(outcome, base, pair.found, pair.former))
    lost = {name: _refused(name, found, records) for name in sorted(refused)}
    return taken, [BaseOutcome(name, refused[name], files=files) for name, files in lost.items()]


def _refused(name: str, found: Sequence[FoundBase], records: Sequence[FormerBase]) -> list[FileOutcome]:
    """The files of a base that is refused as a whole."""
    in_folder = {file.path for folder in found if folder.name == name for file in folder.files}
    on_record = {file.path for record in records if record.name == name for file in record.files}
    return [FileOutcome(path, Fate.FAILED) for path in sorted(in_folder | on_record)]


def _paired(found: Sequence[FoundBase], records: Sequence[FormerBase]) -> tuple[dict[str, _Pair], dict[str, str]]:
    """Folders and records that mean the same base; 0.2.x itself did not tell the cases of a name apart."""
    pairs: dict[str, _Pair] = {}
    refused: dict[str, str] = {}
    barred: set[str] = set()
    on_record = {record.name for record in records}
    for folder in sorted(found, key=lambda folder: (folder.name not in on_record, folder.name)):
        name = _parsed(folder.name, refused)
        if name is None:
            continue
        if folder.refusal:
            refused[folder.name] = folder.refusal
            barred.add(name.key)
        elif name.key in pairs:
            other = pairs[name.key].name
            refused[folder.name] = f"its name means the same base as {other.value!r}; put its files there, import again"
        else:
            pairs[name.key] = _Pair(name, folder, None)
    for record in records:
        name = _parsed(record.name, refused)
        if name is None or name.key in barred:
            continue
        pair = pairs.get(name.key, _Pair(name, None, None))
        if pair.former is None:
            pairs[name.key] = _Pair(pair.name, pair.found, record)
    return pairs, refused


def _parsed(raw: str, refused: dict[str, str]) -> KnowledgeBaseName | None:
    try:
        return KnowledgeBaseName.parse(raw)
    except InvalidName as failure:
        remedy = "copy its folder under another name and import that; what info.db says of it stays behind"
        refused[raw] = f"{failure.facts['reason']}; {remedy}"
        return None
