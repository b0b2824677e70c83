"""Records of 0.2.x → ours. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.api.domain.former import FormerBase, FormerFile
from services.api.domain.knowledge import FileFailure, FileId, FileState, KnowledgeBase, KnowledgeBaseId, KnowledgeFile
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.knowledge.files import StoredFile
from services.api.knowledge.orders import Catalogue
from services.foundation.errors import FileNotInBase


@dataclass(frozen=True, slots=True)
class Choices:
    """What a base that is taken over may use here; the defaults stand for what is not configured."""

    catalogue: Catalogue
    default_store: str


def made_base(name: KnowledgeBaseName, former: FormerBase | None, choices: Choices) -> tuple[KnowledgeBase, list[str]]:
    """A new base with all that is kept of the former one, and a sentence for each thing that is not."""
    remarks = []
    model = choices.catalogue.default_embedding
    if former is not None and former.embedding_model:
        known = _called(former.embedding_model, choices.catalogue.embedding_models)
        model = known or model
        if known is None:
            remarks.append(
                f"its embedding model {former.embedding_model!r} is not configured here: it is indexed with {model!r}; "
                f"to have another, add it to configs/models.yaml and rebuild the base: init_database.py -r -n "
                f"'{name}' -e MODEL"
            )
    store = choices.default_store
    if former is not None and former.vector_store:
        store = _called(former.vector_store, choices.catalogue.vector_stores) or store
        if store.casefold() != former.vector_store.casefold():
            remarks.append(f"its vectors were in {former.vector_store!r}; here they will be in {store!r}, built anew")
    base = KnowledgeBase(
        id=KnowledgeBaseId(secrets.token_hex(16)),
        name=name,
        description=former.description if former else "",
        embedding_model=model,
        vector_store=store,
        created_at=former.created_at if former else datetime.now(UTC),
    )
    return base, remarks


def _called(former: str, known: Sequence[str]) -> str | None:
    """The known name that means the same: 0.2.x also took `organisation/model` and a folder's path."""
    wanted = former.replace("\\", "/").rstrip("/").rpartition("/")[2].casefold()
    found = {name.rpartition("/")[2].casefold(): name for name in known}
    return former if former in known else found.get(wanted)


def made_file(base: KnowledgeBase, name: FileName, former: FormerFile, stored: StoredFile | None) -> KnowledgeFile:
    """A record that is to be indexed; one that says that the file is absent, when it is."""
    absent = FileNotInBase(knowledge_base=base.name.value, file=name.value)
    return KnowledgeFile(
        id=FileId(secrets.token_hex(16)),
        knowledge_base_id=base.id,
        name=name,
        size_bytes=stored.size_bytes if stored else former.size_bytes,
        sha256=stored.sha256 if stored else "",
        version=former.version,
        state=FileState.PENDING if stored else FileState.FAILED,
        created_at=former.created_at,
        modified_at=former.modified_at,
        failure=None if stored else FileFailure(absent.code, absent.facts),
        loader=former.loader,
        splitter=former.splitter,
    )


def is_awaited(file: KnowledgeFile) -> bool:
    """Whether a record was taken over before its file was."""
    return file.state is FileState.FAILED and file.failure is not None and file.failure.code == FileNotInBase.code
