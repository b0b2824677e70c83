"""What the knowledge service is asked for, and what a new base may choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import IO, TypeAlias

from services.api.domain.knowledge import KnowledgeBase, SplitterChoice, Splitting
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.ports import Splitter
from services.api.knowledge.splitters.window.embedder import window_options
from services.foundation.errors import InvalidSetting, UnsupportedFile
from services.foundation.registry import Registry
from services.foundation.settings.models import Models
from services.foundation.settings.tree import Knowledge

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


def chosen_splitter(
    catalogue: Catalogue, settings: Knowledge, splitting: Splitting, base: KnowledgeBase | None
) -> SplitterChoice:
    """What is asked for, else what the base says, else what is configured; options go with the configured name.

    Raises:
        UnknownVariant, InvalidSetting: there is no such splitter, or it has no such option.
    """
    asked = splitting if base is None else splitting.over(base.splitting)
    chunk_chars = asked.chunk_chars or settings.chunk_chars
    overlap = settings.overlap_chars if asked.overlap_chars is None else asked.overlap_chars
    sizes = {"chunk_chars": chunk_chars, "overlap_chars": min(overlap, chunk_chars // 2)}
    configured = settings.splitter
    name = asked.splitter or configured.name
    window = catalogue.window_options(base.embedding_model if base else catalogue.default_embedding)
    options = {**window, **(configured.options if name == configured.name else {}), **sizes}
    try:
        catalogue.splitters.build(name, **options)
    except TypeError as failure:
        raise InvalidSetting(setting="knowledge.splitter.options", reason=str(failure)) from failure
    return SplitterChoice(name, options)
