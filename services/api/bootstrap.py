"""The composition root of the API: the only file that names concrete classes. `app` and init_database.py call it."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from services.api.catalog import routes as catalog_routes
from services.api.catalog.service import CatalogueService, Ways
from services.api.chat import routes as chat_routes
from services.api.chat import summary_routes
from services.api.chat.condensing import ChosenCondenser, ModelCondenser, RuleCondenser
from services.api.chat.file_summaries import FileSummariser
from services.api.chat.memory import MEMORIES
from services.api.chat.prompts import FilePrompts
from services.api.chat.recording import Recorder
from services.api.chat.responding import ChatDefaults, ChatParts
from services.api.chat.speaking import Speaker
from services.api.chat.strategies import STRATEGIES
from services.api.chat.summarising import Summariser
from services.api.conversations import routes as conversation_routes
from services.api.conversations.service import ConversationService
from services.api.domain.ports import ChatModel, Embedder, Parser, Reranker, Storage, TextIndex, VectorStore
from services.api.inference.gateway import GatewayChatModel, GatewayEmbedder
from services.api.inference.reranking import GatewayReranker
from services.api.knowledge import routes as knowledge_routes
from services.api.knowledge import temporary_routes
from services.api.knowledge.consistency import Inspection, RepairMeans
from services.api.knowledge.files import ContentFolders
from services.api.knowledge.importing.importer import Importer
from services.api.knowledge.importing.mapping import Choices
from services.api.knowledge.indexing import Indexer
from services.api.knowledge.ingest import Indexes, IngestLimits, Ingestor
from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.maintenance import Maintenance
from services.api.knowledge.orders import Catalogue
from services.api.knowledge.parsing.pool import ParserPool, ParsingLimits
from services.api.knowledge.queue import Indexing, IndexQueue
from services.api.knowledge.retrieval.hybrid import HybridRetriever
from services.api.knowledge.retrieval.light import LightReranker
from services.api.knowledge.schedule import InspectionSchedule
from services.api.knowledge.service import KnowledgeService
from services.api.knowledge.splitters import SPLITTERS
from services.api.knowledge.temporary import Clock, TemporaryBases, TemporarySweeper, utc_now
from services.api.knowledge.text_index import TEXT_INDEXES
from services.api.knowledge.text_index.site import Site
from services.api.knowledge.vector_stores import VECTOR_STORES
from services.api.parts import Parts, Role
from services.api.storage.database import SqlStorage
from services.api.storage.former import open_former
from services.clients.openai import OpenAIClient
from services.foundation.settings.tree import Settings

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
    clock: Clock = utc_now


def build(settings: Settings, replace: Replacements, role: Role = Role.WHOLE, *, number: int = 1) -> Parts:
    """Join the parts by hand. Constructors are light; nothing is opened here.

    Args:
        settings: all of them.
        replace: parts to take instead of the configured ones.
        role: of the process.
        number: tells processes of one role on one machine apart.
    """
    client = _client(settings)
    embedder = replace.embedder or GatewayEmbedder(client, settings.knowledge.retrieval.unreadable_share)
    database = SqlStorage(settings.database_url)
    indexes = _indexes(settings, replace, database, role)
    folders = ContentFolders(settings.server.data_dir, settings.knowledge.file_limit_bytes)
    parser = replace.parser or _parser(settings, folders)
    parallel_files, holder = settings.knowledge.parallel_files, f"{role}-{number}@{socket.gethostname()}"
    ingestor = Ingestor(indexes, embedder, parser, IngestLimits(parallel_files, settings.knowledge.embed_batch))
    indexer = Indexer(indexes, ingestor, folders, holder=f"{holder}/indexer", parallel_files=parallel_files)
    catalogue = Catalogue.of(settings.models, list(VECTOR_STORES), SPLITTERS, list(LOADERS))
    indexing = Indexing(IndexQueue(indexes.storage, holder), ingestor)
    knowledge = KnowledgeService(indexes, folders, indexing, catalogue, settings.knowledge)
    importer = Importer(database, folders, Choices(catalogue, settings.knowledge.vector_store.name), open_former)
    reranker = _reranker(settings, client, indexes.keywords)
    retriever = HybridRetriever(indexes, embedder, settings.knowledge.retrieval, reranker)
    temporary = TemporaryBases(indexes.storage, knowledge, settings.knowledge.temporary, replace.clock)
    conversations = ConversationService(indexes.storage)
    recorder = Recorder(conversations.record)

    async def running() -> set[str]:
        return {card.id for card in (await client.models()).data}

    retrieval, server = settings.knowledge.retrieval, settings.server
    presentation = knowledge_routes.Presentation(list(LOADERS), server.language, retrieval.min_similarity)
    speaker, defaults = _speaker(settings, replace.chat_model or GatewayChatModel(client)), ChatDefaults.of(settings)
    chat_parts = ChatParts(
        speaker,
        knowledge,
        retriever,
        conversations,
        recorder,
        temporary,
    )
    routers = (
        chat_routes.router(chat_parts, defaults),
        summary_routes.router(knowledge, FileSummariser(indexes.storage, Summariser(speaker)), defaults),
        knowledge_routes.router(knowledge, retriever, presentation),
        temporary_routes.router(temporary, settings.knowledge.temporary, server.language),
        conversation_routes.router(conversations),
        catalog_routes.router(
            CatalogueService(settings.models, running, Ways.of(settings, STRATEGIES, MEMORIES)),
            chat_parts.speaker.prompts,
            server.language,
        ),
    )
    maintenance, own_indexer = Maintenance(knowledge, folders), indexer if role.indexes else None
    means = RepairMeans(embedder, settings.knowledge.embed_batch, settings.embeds_milvus, list(LOADERS))
    inspection = Inspection(indexes, folders, knowledge, means)
    schedule = _schedule(settings, inspection) if role is Role.INGEST and number == 1 else None
    sweeper = TemporarySweeper(indexes.storage, knowledge, folders, replace.clock) if role.sweeps(number) else None
    return Parts(
        client=client,
        database=database,
        indexes=indexes,
        knowledge=knowledge,
        indexer=own_indexer,
        maintenance=maintenance,
        inspection=inspection,
        schedule=schedule,
        sweeper=sweeper,
        importer=importer,
        parser=parser,
        recorder=recorder,
        routers=routers,
    )


def _client(settings: Settings) -> OpenAIClient:
    keys: Sequence[SecretStr] = settings.server.access_keys
    return OpenAIClient(
        settings.server.gateway.url,
        timeout_seconds=settings.server.request_timeout_seconds,
        key=keys[0] if keys else None,
        service="gateway",
    )


def _indexes(settings: Settings, replace: Replacements, database: SqlStorage, role: Role) -> Indexes:
    vectors, keywords = settings.knowledge.vector_store, settings.text_index
    options, site = vectors.options, Site(settings.server.data_dir, settings.database_url)
    if role.shares and settings.embeds_milvus:
        options = {"lite_uri": settings.server.milvus.url, **options}
    return Indexes(
        storage=replace.storage or database,
        vectors=replace.vectors or VECTOR_STORES.build(vectors.name, settings.vectors_folder, options),
        keywords=replace.keywords or TEXT_INDEXES.build(keywords.name, site, options=keywords.options),
    )


def _reranker(settings: Settings, client: OpenAIClient, keywords: TextIndex) -> Reranker | None:
    if not settings.knowledge.retrieval.rerank:
        return None
    model = settings.models.default_rerank
    return LightReranker(keywords) if model is None else GatewayReranker(client, model)


def _schedule(settings: Settings, inspection: Inspection) -> InspectionSchedule:
    hours = settings.knowledge.check_hours
    return InspectionSchedule(inspection, settings.server.data_dir, timedelta(hours=hours) if hours else None)


def _parser(settings: Settings, folders: ContentFolders) -> ParserPool:
    return ParserPool(ParsingLimits(**settings.knowledge.parsing.model_dump()), folders.cache / "reading")


def _speaker(settings: Settings, model: ChatModel) -> Speaker:
    prompts = FilePrompts(*filter(None, (settings.server.prompts_dir, PROMPTS)))
    prompts.check()  # a template that cannot be rendered ends the start, not each question
    rewriters = {name for name, served in settings.models.served.items() if served.task == "chat" and served.rewrites}
    condenser = ChosenCondenser(ModelCondenser(model, prompts), RuleCondenser(), rewriters)
    STRATEGIES.load(settings.knowledge.answering.strategy)  # a misspelt name ends the start, not each question
    MEMORIES.load(settings.knowledge.answering.memory)
    return Speaker(model, prompts, condenser, settings.knowledge.answering, settings.models.served)
