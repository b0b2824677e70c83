"""What the knowledge service is asked for, and what a new base may choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import IO, TypeAlias

from services.api.domain.knowledge import Splitting
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.ports import Splitter
from services.api.knowledge.splitters.window.embedder import window_options
from services.foundation.errors import UnsupportedFile
from services.foundation.registry import Registry
from services.foundation.settings.models import Models

SplitterOptions: TypeAlias = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class NewKnowledgeBase:
    """What a new base is made from; None takes the configured default.

    `expires_at`: of a temporary one; None: it is kept for good.
    """

    name: KnowledgeBaseName
    description: str = ""
    embedding_model: str | None = None
    vector_store: str | None = None
    splitting: Splitting = field(default_factory=Splitting)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """One file that comes in.

    Attributes:
        replace: take the place of a file of the same name.
        index: make it searchable.
        wait: for that; otherwise it goes on in the background.
    """

    name: FileName
    source: IO[bytes]
    replace: bool = False
    index: bool = True
    wait: bool = True
    splitting: Splitting = field(default_factory=Splitting)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a new base may choose from.

    Attributes:
        window_options: of an embedding model, as options of a splitter; empty where its window is not known.
    """

    embedding_models: Sequence[str]
    default_embedding: str
    vector_stores: Sequence[str]
    splitters: Registry[Splitter]
    extensions: Sequence[str]
    window_options: Callable[[str], SplitterOptions] = lambda _: {}

    def check_type(self, name: FileName) -> None:
        """Raises UnsupportedFile where no loader stands for the file."""
        if name.extension not in self.extensions:
            raise UnsupportedFile(file=name.value, supported=", ".join(self.extensions))

    @classmethod
    def of(
        cls, models: Models, vector_stores: Sequence[str], splitters: Registry[Splitter], extensions: Sequence[str]
    ) -> Catalogue:
        """With the embedding models of the settings."""
        embedding = [name for name, served in models.served.items() if served.task == "embedding"]
        window = partial(window_options, models)
        return cls(embedding, models.default_embedding, vector_stores, splitters, extensions, window)
