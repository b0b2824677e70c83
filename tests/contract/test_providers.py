"""Every provider of the shipped catalogue: where a request goes, how it is signed, what becomes of its fields.

The scripted server stands in as the proxy: it sees the whole address. https is asked for as http, so that it can.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from services.foundation.errors import InvalidRequest, InvalidSetting
from services.foundation.settings.load import ROOT, read_settings
from services.wire.openai import EmbeddingRequest, RerankRequest
from services.worker.engines import ENGINES
from services.worker.engines.base import EngineSpec
from services.worker.engines.remote.openai_compatible import OpenAICompatibleEngine
from tests.contract.engine import KEY, MODEL, collect, text_of
from tests.contract.remote import GOOD, Asked, Script, chat_request, provided, spec_at

CATALOGUE = read_settings(ROOT / "configs").models.providers
AZURE = "my-company.openai.azure.com/openai/deployments/gpt-41"
ADDRESSES = {
    "openai": "api.openai.com/v1",
    "azure": AZURE,
    "zhipu": "open.bigmodel.cn/api/paas/v4",
    "dashscope": "dashscope.aliyuncs.com/compatible-mode/v1",
    "moonshot": "api.moonshot.cn/v1",
    "deepseek": "api.deepseek.com/v1",
    "baichuan": "api.baichuan-ai.com/v1",
    "minimax": "api.minimaxi.com/v1",
    "qianfan": "qianfan.baidubce.com/v2",
    "spark": "spark-api-open.xf-yun.com/v1",
    "volcengine": "ark.cn-beijing.volces.com/api/v3",
    "tiangong": "sky-api.singularity-ai.com/saas/api/v4",
    "gemini": "generativelanguage.googleapis.com/v1beta/openai",
    "ollama": "127.0.0.1:11434/v1",
    "llama_cpp": "127.0.0.1:8080/v1",
    "xinference": "127.0.0.1:9997/v1",
    "lm_studio": "127.0.0.1:1234/v1",
    "vllm": "127.0.0.1:8000/v1",
}
RERANKING = {
    "zhipu": "open.bigmodel.cn/api/paas/v4/rerank",
    "dashscope": "dashscope.aliyuncs.com/compatible-api/v1/reranks",
    "qianfan": "qianfan.baidubce.com/v2/rerank",
    "llama_cpp": "127.0.0.1:8080/v1/rerank",
    "xinference": "127.0.0.1:9997/v1/rerank",
    "vllm": "127.0.0.1:8000/v1/rerank",
}
BATCHES = {"zhipu": 64, "dashscope": 10, "baichuan": 16, "minimax": 10, "qianfan": 16, "volcengine": 256, "gemini": 100}
WITHOUT_USAGE = {"zhipu", "baichuan", "spark"}
OPENAI_WIRE = sorted(CATALOGUE.keys() - {"tiangong"})
WANTED: dict[str, Any] = {
    "frequency_penalty": 0.5,
    "logit_bias": {"5": 1},
    "logprobs": True,
    "n": 2,
    "parallel_tool_calls": False,
    "presence_penalty": 0.5,
    "seed": 7,
    "stop": ["x"],
    "store": True,
    "tool_choice": "required",
    "top_logprobs": 2,
}
NEUTRAL: dict[str, Any] = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "n": 1,
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "seed": None,
    "stop": None,
    "store": False,
    "tool_choice": "auto",
    "top_logprobs": 0,
}

each_provider = pytest.mark.parametrize("name", OPENAI_WIRE)


def spec_of(name: str, proxy: str, task: str = "chat", **options: object) -> EngineSpec:
    """A model of a provider of the catalogue, with a key, asked over http through the proxy."""
    entry = CATALOGUE[name]
    changes: dict[str, object] = {
        "base_url": entry.base_url.replace("https://", "http://"),
        "rerank": entry.rerank.model_copy(update={"path": entry.rerank.path.replace("https://", "http://")}),
        "api_key": SecretStr(KEY),
        "proxy": SecretStr(proxy),
    }
    if name == "azure":
        options = {"resource": "my-company", "deployment": "gpt-41", **options}
    return spec_at(entry.model_copy(update=changes), task=task, **{"model": "up", **options})


@asynccontextmanager
async def at(name: str, script: Script, task: str = "chat", **options: object) -> AsyncIterator[OpenAICompatibleEngine]:
    async with provided(script) as url:
        engine = OpenAICompatibleEngine(spec_of(name, url, task, **options))
        await engine.start()
        yield engine
        await engine.stop()


def test_the_catalogue_is_all_of_it():
    assert list(CATALOGUE) == list(ADDRESSES)
    assert {name for name, entry in CATALOGUE.items() if "rerank" in entry.tasks} == set(RERANKING)


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_entry_says_where_its_key_comes_from_and_holds_none(name: str):
    entry = CATALOGUE[name]
    assert entry.api_key is None
    assert entry.key_variable or not entry.needs_key
    assert entry.base_url.startswith("https://") or "127.0.0.1" in entry.base_url
    assert set(entry.fields.refuse) <= {*WANTED}, "a field that is refused is tried below"


@pytest.mark.enable_socket
@each_provider
async def test_a_chat_goes_to_its_address_with_the_key(name: str):
    script = Script(events=GOOD)
    async with at(name, script) as engine:
        assert text_of(await collect(engine, chat_request(user="ann"))) == "hi"

    (asked,) = script.requests
    query = "?api-version=2024-10-21" if name == "azure" else ""
    assert asked.url == f"{ADDRESSES[name]}/chat/completions{query}"
    header, value = ("api-key", KEY) if name == "azure" else ("authorization", f"Bearer {KEY}")
    assert asked.headers[header] == value
    assert len({"authorization", "api-key"} & set(asked.headers)) == 1
    assert asked.fields["model"] == "up"
    assert ("stream_options" in asked.fields) == (name not in WITHOUT_USAGE)
    assert ("user" in asked.fields) == ("user" not in CATALOGUE[name].fields.drop)


@pytest.mark.enable_socket
@each_provider
async def test_a_field_it_would_ignore_is_refused_by_name_or_passed_on(name: str):
    refused = CATALOGUE[name].fields.refuse
    script = Script(events=GOOD)
    async with at(name, script) as engine:
        for field in refused:
            with pytest.raises(InvalidRequest) as said:
                await collect(engine, chat_request(**{field: WANTED[field]}))
            assert said.value.facts["field"] == field
        assert script.asked == []
        passed = {field: value for field, value in WANTED.items() if field not in (*refused, "n")}
        await collect(engine, chat_request(**passed, **{field: NEUTRAL[field] for field in refused}))

    (asked,) = script.asked
    assert {field: asked.get(field) for field in passed} == passed
    assert not set(refused) & set(asked), "what says nothing is not sent"


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("name", "sent", "arrives"),
    [
        ("zhipu", {"temperature": 0}, {"do_sample": False}),
        ("zhipu", {"temperature": 0.5, "max_completion_tokens": 9}, {"temperature": 0.5, "max_tokens": 9}),
        ("minimax", {"temperature": 0}, {"temperature": 0.01}),
        ("qianfan", {"temperature": 0.0}, {"temperature": 0.01}),
        ("moonshot", {"temperature": 0}, {"temperature": 0}),
        ("deepseek", {"max_completion_tokens": 9, "max_tokens": 5}, {"max_tokens": 9}),
        ("openai", {"max_completion_tokens": 9, "temperature": 2}, {"max_completion_tokens": 9, "temperature": 2}),
        ("vllm", {"top_k": 5, "guided_json": {"type": "object"}}, {"top_k": 5, "guided_json": {"type": "object"}}),
    ],
)
async def test_a_field_it_takes_otherwise(name: str, sent: dict[str, Any], arrives: dict[str, Any]):
    script = Script(events=GOOD)
    async with at(name, script) as engine:
        await collect(engine, chat_request(**sent))

    (asked,) = script.asked
    assert {field: value for field, value in asked.items() if field in {*sent, *arrives}} == arrives


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("name", "sent", "sentence"),
    [
        ("zhipu", {"temperature": 1.5}, "at most 1, not 1.5"),
        ("dashscope", {"temperature": 2}, "less than 2"),
        ("moonshot", {"temperature": 1.2}, "at most 1"),
        ("baichuan", {"top_p": 1}, "less than 1"),
        ("minimax", {"temperature": 1.5}, "at most 1"),
        ("openai", {"max_tokens": 5000}, "at most 4096"),
        ("zhipu", {"max_completion_tokens": 5000}, "'max_completion_tokens'.*at most 4096"),
    ],
)
async def test_a_value_it_does_not_take_is_refused_by_name(name: str, sent: dict[str, Any], sentence: str):
    script = Script(events=GOOD)
    async with at(name, script, bounds={"max_tokens": {"at_most": 4096}}) as engine:
        with pytest.raises(InvalidRequest, match=sentence) as said:
            await collect(engine, chat_request(**sent))
    assert said.value.facts["field"] in sent
    assert script.asked == []


def texts_of(asked: Asked) -> list[str]:
    texts: list[str] = asked.fields["texts" if "texts" in asked.fields else "input"]
    return texts


def vectors_of(asked: Asked) -> object:
    """Vectors that tell the texts apart."""
    texts = texts_of(asked)
    vectors = [[float(text), 1.0] for text in texts]
    if "texts" in asked.fields:
        return {"vectors": vectors, "total_tokens": len(texts)}
    entries = [{"index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    return {"data": entries, "usage": {"prompt_tokens": len(texts), "total_tokens": len(texts)}}


@pytest.mark.enable_socket
@pytest.mark.parametrize("name", [name for name in OPENAI_WIRE if "embedding" in CATALOGUE[name].tasks])
async def test_embeddings_are_asked_for_in_its_batches(name: str):
    limit = BATCHES.get(name, 2048)
    texts = [str(number) for number in range(1, limit + 2)]
    script = Script(answer=vectors_of)
    async with at(name, script, "embedding") as engine:
        answer = await engine.embed(EmbeddingRequest(model=MODEL, input=texts))

    sizes = [len(texts_of(asked)) for asked in script.requests]
    assert sizes == [limit, 1]
    assert script.requests[0].url.startswith(f"{ADDRESSES[name]}/embeddings")
    assert [item.index for item in answer.data] == list(range(limit + 1))
    ratios = [round(item.embedding[0] / item.embedding[1]) for item in answer.data]  # type: ignore[operator]
    assert ratios == list(range(1, limit + 2))
    assert answer.usage.total_tokens == limit + 1


@pytest.mark.enable_socket
@pytest.mark.parametrize("name", RERANKING)
async def test_rankings_are_asked_for_at_its_address(name: str):
    script = Script(body={"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]})
    async with at(name, script, "rerank") as engine:
        answer = await engine.rerank(RerankRequest(model=MODEL, query="q", documents=["a", "b"], return_documents=True))

    assert [result.document for result in answer.results] == ["b", "a"]
    (asked,) = script.requests
    assert asked.url == RERANKING[name]
    fields = {"model": "up", "query": "q", "documents": ["a", "b"], "top_n": 2, "return_documents": False}
    assert asked.fields == {field: value for field, value in fields.items() if field not in CATALOGUE[name].fields.drop}


@pytest.mark.enable_socket
async def test_a_pair_of_keys_is_joined():
    script = Script(events=GOOD)
    async with at("spark", script, api_key="the-key", secret_key="the-secret") as engine:
        await collect(engine, chat_request())
    assert script.requests[0].headers["authorization"] == "Bearer the-key:the-secret"


@pytest.mark.enable_socket
async def test_the_models_own_options_win():
    script = Script(events=GOOD)
    query = {"api-version": "2025-01-01-preview"}
    async with at("azure", script, api_key="own-key", query=query) as engine:
        await collect(engine, chat_request())
    (asked,) = script.requests
    assert asked.url == f"{AZURE}/chat/completions?api-version=2025-01-01-preview"
    assert asked.headers["api-key"] == "own-key"


@pytest.mark.parametrize(
    "options", [{"resource": "r"}, {"deployment": "d"}, {"resource": "a.example/", "deployment": "d"}]
)
def test_azure_needs_its_resource_and_its_deployment(options: dict[str, str]):
    with pytest.raises(InvalidSetting, match=r"options\.(deployment|resource)"):
        OpenAICompatibleEngine(spec_at(CATALOGUE["azure"], **options))


def test_a_provider_that_cannot_do_the_task_is_refused():
    with pytest.raises(InvalidSetting, match="does chat, not embedding"):
        OpenAICompatibleEngine(spec_at(CATALOGUE["deepseek"], task="embedding"))


@pytest.mark.parametrize("name", sorted(name for name, entry in CATALOGUE.items() if entry.needs_key))
async def test_without_a_key_the_engine_says_what_to_set(name: str):
    entry = CATALOGUE[name].model_copy(update={"key_problem": "/run/secrets/k is a folder"})
    options = {"resource": "r", "deployment": "d"} if name == "azure" else {}
    engine: Any = ENGINES.load("tiangong" if name == "tiangong" else "openai_compatible")(spec_at(entry, **options))
    with pytest.raises(InvalidSetting) as said:
        await engine.start()
    assert entry.key_variable
    assert entry.key_variable in str(said.value)
    assert "/run/secrets/k is a folder" in str(said.value)
    await engine.stop()


@pytest.mark.parametrize("name", sorted(name for name, entry in CATALOGUE.items() if not entry.needs_key))
async def test_a_server_in_the_house_needs_no_key(name: str):
    engine = OpenAICompatibleEngine(spec_at(CATALOGUE[name]))
    await engine.start()
    await engine.stop()
