"""The composition root of the API: the only file that names concrete classes. `app` and init_database.py call it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import APIRouter
from pydantic import SecretStr

from services.api.catalog import routes as catalog_routes
from services.api.catalog.service import CatalogueService
from services.api.chat import routes as chat_routes
from services.api.chat.answering import Speaker
from services.api.chat.condensing import ChosenCondenser, ModelCondenser, RuleCondenser
from services.api.chat.prompts import FilePrompts
from services.api.chat.recording import Recorder
from services.api.conversations import routes as conversation_routes
from services.api.conversations.service import ConversationService
from services.api.domain.ports import ChatModel, Embedder, Parser, Storage, TextIndex, VectorStore
from services.api.inference.gateway import GatewayChatModel, GatewayEmbedder
from services.api.knowledge import routes as knowledge_routes
from services.api.knowledge.files import ContentFolders
from services.api.knowledge.ingest import Indexes, IngestLimits, Ingestor
from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.maintenance import Maintenance
from services.api.knowledge.orders import Catalogue
from services.api.knowledge.parsing.pool import ParserPool, ParsingLimits
from services.api.knowledge.retrieval import HybridRetriever
from services.api.knowledge.service import KnowledgeService
from services.api.knowledge.splitters import SPLITTERS
from services.api.knowledge.text_index import TEXT_INDEXES
from services.api.knowledge.vector_stores import VECTOR_STORES
from services.api.storage.database import SqlStorage
from services.clients.openai import OpenAIClient
from services.foundation.http import Health
from services.foundation.settings.tree import Settings

log = logging.getLogger(__name__)
PROMPTS = Path(__file__).resolve().parents[2] / "configs" / "prompts"


@dataclass(frozen=True, slots=True)
class Replacements:
    """Parts given instead of the configured ones; tests give fakes."""

    storage: Storage | None = None
    vectors: VectorStore | None = None
    keywords: TextIndex | None = None
    chat_model: ChatModel | None = None
    embedder: Embedder | None = None
    parser: Parser | None = None


@dataclass(slots=True)
class Parts:
    """Everything the API is made of, built and not yet started."""

    client: OpenAIClient
    database: SqlStorage
    indexes: Indexes
    knowledge: KnowledgeService
    maintenance: Maintenance
    parser: Parser
    recorder: Recorder
    routers: Sequence[APIRouter]
    _ready: bool = False
    _resuming: asyncio.Task[None] | None = field(default=None, repr=False)

    async def start(self) -> None:
        """Open the stores; then, in the background, finish what a crash interrupted."""
        await self.indexes.storage.start()
        await self.open_indexes()
        self._resuming = asyncio.create_task(self._resume())
        self._ready = True

    async def open_indexes(self) -> None:
        """Open the vector store and the keyword index."""
        await asyncio.gather(self.indexes.keywords.start(), self.indexes.vectors.start())

    @asynccontextmanager
    async def maintained(self, *, clear: bool, import_from: Path | None) -> AsyncIterator[None]:
        """Open the metadata database for a script, and close at the end whatever was opened inside the block.

        Args:
            clear: drop all tables and create them again.
            import_from: another SQLite database whose rows are copied in.
        """
        try:
            await self.database.start()
            if clear:
                await self.database.clear()
            if import_from is not None:
                await self.database.import_rows(import_from)
            yield
        finally:
            await self.stop()

    async def _resume(self) -> None:
        try:
            await self.knowledge.resume()
        except Exception:
            log.exception("interrupted work could not be taken up")

    async def stop(self) -> None:
        """Close the stores."""
        self._ready = False
        if self._resuming is not None:
            self._resuming.cancel()
            await asyncio.gather(self._resuming, return_exceptions=True)
        await self.knowledge.stop()
        await self.parser.stop()
        await self.recorder.settle()
        await self.client.close()
        await self.indexes.vectors.stop()
        await self.indexes.keywords.stop()
        await self.indexes.storage.stop()

    def health(self) -> Health:
        """Ready once the stores are open."""
        return Health("ok" if self._ready else "starting")


def build(settings: Settings, replace: Replacements) -> Parts:
    """Join the parts by hand. Constructors are light; nothing is opened here."""
    client = _client(settings)
    embedder = replace.embedder or GatewayEmbedder(client, settings.knowledge.retrieval.unreadable_share)
    database = SqlStorage(settings.database_url)
    indexes = _indexes(settings, replace, database)
    folders = ContentFolders(settings.server.data_dir, settings.knowledge.file_limit_bytes)
    parser = replace.parser or _parser(settings, folders)
    limits = IngestLimits(settings.knowledge.parallel_files, settings.knowledge.embed_batch)
    knowledge = _knowledge(settings, folders, indexes, Ingestor(indexes, embedder, parser, limits))
    retriever = HybridRetriever(indexes, embedder, settings.knowledge.retrieval)
    conversations = ConversationService(indexes.storage)
    recorder = Recorder(conversations.record)

    async def running() -> set[str]:
        return {card.id for card in (await client.models()).data}

    retrieval, server = settings.knowledge.retrieval, settings.server
    presentation = knowledge_routes.Presentation(list(LOADERS), server.language, retrieval.min_similarity)
    chat_parts = chat_routes.ChatParts(
        _speaker(settings, replace.chat_model or GatewayChatModel(client)),
        knowledge,
        retriever,
        conversations,
        recorder,
    )
    defaults = chat_routes.ChatDefaults(
        settings.models.default_chat, server.language, retrieval.top_k, retrieval.min_similarity, server.api.public_url
    )
    routers = (
        chat_routes.router(chat_parts, defaults),
        knowledge_routes.router(knowledge, retriever, presentation),
        conversation_routes.router(conversations),
        catalog_routes.router(CatalogueService(settings.models, running)),
    )
    return Parts(client, database, indexes, knowledge, Maintenance(knowledge, folders), parser, recorder, routers)


def _client(settings: Settings) -> OpenAIClient:
    keys: Sequence[SecretStr] = settings.server.access_keys
    return OpenAIClient(
        settings.server.gateway.url,
        timeout_seconds=settings.server.request_timeout_seconds,
        key=keys[0] if keys else None,
        service="gateway",
    )


def _indexes(settings: Settings, replace: Replacements, database: SqlStorage) -> Indexes:
    data, chosen = settings.server.data_dir, settings.knowledge
    return Indexes(
        storage=replace.storage or database,
        vectors=replace.vectors
        or VECTOR_STORES.build(chosen.vector_store.name, data / "vectors.milvus", chosen.vector_store.options),
        keywords=replace.keywords
        or TEXT_INDEXES.build(chosen.text_index.name, data / "info.db", options=chosen.text_index.options),
    )


def _knowledge(settings: Settings, folders: ContentFolders, indexes: Indexes, ingestor: Ingestor) -> KnowledgeService:
    embedding = [name for name, served in settings.models.served.items() if served.task == "embedding"]
    catalogue = Catalogue(embedding, settings.models.default_embedding, list(VECTOR_STORES), SPLITTERS, list(LOADERS))
    return KnowledgeService(indexes, folders, ingestor, catalogue, settings.knowledge)


def _parser(settings: Settings, folders: ContentFolders) -> ParserPool:
    return ParserPool(ParsingLimits(**settings.knowledge.parsing.model_dump()), folders.cache / "reading")


def _speaker(settings: Settings, model: ChatModel) -> Speaker:
    prompts = FilePrompts(PROMPTS)
    rewriters = {name for name, served in settings.models.served.items() if served.task == "chat" and served.rewrites}
    return Speaker(model, prompts, ChosenCondenser(ModelCondenser(model, prompts), RuleCondenser(), rewriters))
