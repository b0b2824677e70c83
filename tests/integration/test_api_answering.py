"""The API over HTTP: what a request may choose of how it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import openai
import pytest

from services.api.bootstrap import Replacements, build
from services.api.chat.render import NOTHING_FOUND
from services.foundation.errors import UnknownVariant
from services.foundation.settings.tree import Answering, Preset, ServedModel, Settings
from tests.integration.api_bench import BASE, MODELS, ApiBench, api_bench, settings_for

ASKED = "员工每年的年假和病假各有多少天？"
WRITER = "a model that the settings do not name"


def about(query: str = ASKED, **more: object) -> dict[str, object]:
    return {"query": query, "knowledge_base_name": BASE, "model_name": WRITER, "stream": True, **more}


@pytest.fixture
async def grouped(tmp_path: Path) -> AsyncIterator[ApiBench]:
    """An API that reads one passage of the base at a time."""
    texts = [(f"{number}.txt", f"年假规定{number}。" + "员工年假须提前申请。" * 6) for number in range(3)]
    async with api_bench(settings_for(tmp_path, answering=Answering(group_tokens=64, parallel_calls=2))) as bench:
        await bench.create()
        await bench.upload(*texts)
        yield bench


# ---- when nothing is found ----


async def test_strict_answers_with_its_sentence_and_asks_no_model(api: ApiBench):
    await api.create()
    first, last = await api.events("/chat/knowledge_base_chat", about(when_nothing_found="strict"))
    assert first["answer"].startswith("文档中没有找到")
    assert last == {"docs": [NOTHING_FOUND], "citations": [], "query": ASKED}
    assert api.model.requests == []


async def test_strict_speaks_the_requests_language_where_the_question_has_none(api: ApiBench):
    await api.create()
    body = about("2024?", when_nothing_found="strict", stream=False)
    (event,) = await api.events("/chat/knowledge_base_chat", body, Accept_Language="en")
    assert event["answer"].startswith("The documents hold nothing")


async def test_cautious_begins_with_its_warning(api: ApiBench):
    await api.create()
    api.model.lines = [["五", "天"]]
    body = about("How many days off?", when_nothing_found="cautious", stream=False)
    (event,) = await api.events("/chat/knowledge_base_chat", body)
    assert event["answer"].startswith("The documents do not hold the answer.")
    assert event["answer"].endswith("\n\n五天")
    assert event["docs"] == [NOTHING_FOUND]


async def test_the_setting_is_asked_where_the_request_says_nothing(tmp_path: Path):
    async with api_bench(settings_for(tmp_path, answering=Answering(when_nothing_found="strict"))) as api:
        await api.create()
        await api.events("/chat/knowledge_base_chat", about())
        assert api.model.requests == []
        await api.events("/chat/knowledge_base_chat", about(when_nothing_found="free"))
        assert "没有找到与问题相关的资料" in api.model.prompt()


async def test_an_unknown_policy_is_malformed(api: ApiBench):
    assert (await api.post("/chat/knowledge_base_chat", about(when_nothing_found="maybe"))).status_code == 422


# ---- strategies ----


async def test_a_request_chooses_its_strategy_and_is_told_how_it_was_answered(grouped: ApiBench):
    grouped.model.lines = [["摘录"], ["摘录"], ["摘录"], ["答", "案[2]"]]
    *tokens, last = await grouped.events("/chat/knowledge_base_chat", about(strategy="map_reduce"))
    assert [token["answer"] for token in tokens] == ["答", "案[2]"]
    assert [citation["number"] for citation in last["citations"]] == [1, 2, 3]
    assert last["answering"] == {
        "strategy": "map_reduce",
        "groups": [[1], [2], [3]],
        "left_out": [],
        "unrated": [],
        "cut_short": 0,
    }
    assert len(grouped.model.requests) == 4


async def test_without_a_choice_short_passages_are_read_at_once_and_nothing_is_told(grouped: ApiBench):
    *_, last = await grouped.events("/chat/knowledge_base_chat", about())
    assert list(last) == ["docs", "citations", "query"]
    assert len(grouped.model.requests) == 1


async def test_an_answer_in_one_event_tells_it_too(grouped: ApiBench):
    grouped.model.lines = [['{"answer": "五天[1]", "rating": 9}'], ["?"], ['{"answer": "十天[3]", "rating": 1}']]
    (event,) = await grouped.events("/chat/knowledge_base_chat", about(strategy="map_rerank", stream=False))
    assert event["answer"] == "五天[1]"
    assert (event["answering"]["strategy"], event["answering"]["unrated"]) == ("map_rerank", [2])


@pytest.mark.parametrize("stream", [True, False])
async def test_a_strategy_that_cannot_be_used_is_refused_before_the_answer(grouped: ApiBench, stream: bool):
    unknown = (await grouped.post("/chat/knowledge_base_chat", about(strategy="magic", stream=stream))).json()
    assert (unknown["code"], unknown["error"]["code"]) == (400, "variant.unknown")
    assert "auto, map_reduce, map_rerank, refine, stuff" in unknown["msg"]
    body = about(strategy="refine", model_name="talk", stream=stream)
    quoting = (await grouped.post("/chat/knowledge_base_chat", body)).json()
    assert (quoting["code"], quoting["error"]["code"]) == (400, "model.does_not_write")
    said = "模型 talk 只摘录原文，自己不写作，而 refine 需要写作。请选择 stuff / auto，或换一个模型。"
    assert quoting["msg"] == said  # names alone are put in, so that no English words stand in a Chinese sentence
    assert grouped.model.requests == []


async def test_openai_clients_are_told_as_well(tmp_path: Path):
    chosen = Answering(group_tokens=64, strategy="map_reduce")
    async with api_bench(settings_for(tmp_path, answering=chosen)) as api:
        await api.filled()
        async with (
            api.live() as url,
            openai.AsyncOpenAI(base_url=f"{url}/knowledge_base/local_kb/{BASE}", api_key="none") as client,
        ):
            whole = await client.chat.completions.create(model=WRITER, messages=[{"role": "user", "content": ASKED}])
            stream = await client.chat.completions.create(
                model=WRITER, messages=[{"role": "user", "content": ASKED}], stream=True
            )
            *_, last = [chunk async for chunk in stream]
    assert whole.model_extra is not None
    assert last.model_extra is not None
    assert whole.model_extra["answering"]["strategy"] == last.model_extra["answering"]["strategy"] == "map_reduce"


async def test_a_client_that_leaves_during_the_steps_stops_them_all(grouped: ApiBench):
    grouped.model.lines = [[asyncio.Event()], [asyncio.Event()], ["三"], ["完"]]
    async with grouped.live() as url, httpx.AsyncClient(base_url=url) as http:
        async with http.stream("POST", "/chat/knowledge_base_chat", json=about(strategy="map_reduce")):
            while len(grouped.model.requests) < 2:
                await asyncio.sleep(0.01)
        async with asyncio.timeout(2):
            await grouped.model.broken_off.wait()
        await asyncio.sleep(0.1)
    assert len(grouped.model.requests) == 2


def test_a_misspelt_strategy_ends_the_start(tmp_path: Path):
    with pytest.raises(UnknownVariant, match="magic"):
        build(settings_for(tmp_path, answering=Answering(strategy="magic")), Replacements())


# ---- presets ----


def with_presets(folder: Path) -> Settings:
    """A preset, and a model that takes a repetition penalty."""
    exact = Preset(temperature=0.1, history_turns=0, top_k=1, repetition_penalty=1.2)
    served = {**MODELS.served, "local": ServedModel(task="chat", engine="vllm", rewrites=False)}
    models = MODELS.model_copy(update={"served": served})
    return settings_for(folder).model_copy(update={"presets": {"exact": exact}, "models": models})


async def test_a_preset_holds_but_for_what_the_request_says(tmp_path: Path):
    history = [{"role": "user", "content": "早"}, {"role": "assistant", "content": "早上好"}]
    async with api_bench(with_presets(tmp_path)) as api:
        await api.filled()
        asked = about(model_name="local", preset="exact", history=history)
        *_, exact = await api.events("/chat/knowledge_base_chat", asked)
        *_, own = await api.events(
            "/chat/knowledge_base_chat", asked | {"top_k": 2, "temperature": 1, "history_len": 1}
        )
        await api.events("/chat/chat", {"query": "问", "preset": "exact", "model_name": "local"})
    first, second, third = api.model.requests
    assert (len(exact["citations"]), len(own["citations"])) == (1, 2)
    assert [request.sampling.temperature for request in (first, second, third)] == [0.1, 1, 0.1]
    assert [request.sampling.repetition_penalty for request in (first, second, third)] == [1.2, 1.2, 1.2]
    assert [len(request.messages) for request in (first, second, third)] == [1, 3, 1]


@pytest.mark.parametrize("path", ["/chat/chat", "/chat/knowledge_base_chat"])
async def test_an_unknown_preset_is_refused_and_the_known_ones_named(tmp_path: Path, path: str):
    async with api_bench(with_presets(tmp_path)) as api:
        await api.create()
        answer = (await api.post(path, about(preset="none"), accept_language="en")).json()
    assert (answer["code"], answer["error"]["code"]) == (400, "variant.unknown")
    assert answer["msg"] == "There is no preset named 'none'. Known: exact."
    assert api.model.requests == []


async def test_a_penalty_for_a_model_that_does_not_take_it_is_refused(api: ApiBench):
    answer = (await api.post("/chat/chat", {"query": "问", "repetition_penalty": 1.1}, accept_language="en")).json()
    assert (answer["code"], answer["error"]["facts"]["field"]) == (400, "repetition_penalty")
    assert (await api.post("/chat/chat", {"query": "问", "repetition_penalty": 11})).status_code == 422


async def test_turns_on_record_are_read_as_a_preset_says(tmp_path: Path):
    presets = {"three": Preset(history_turns=1)}
    async with api_bench(settings_for(tmp_path).model_copy(update={"presets": presets})) as api:
        ident = "f" * 32
        for text in ("一", "二"):
            await api.events("/chat/chat", {"query": text, "conversation_id": ident})
            while len((await api.get(f"/conversations/{ident}")).json()["data"]["turns"]) < len(api.model.requests):
                await asyncio.sleep(0.01)
        await api.events("/chat/chat", {"query": "三", "conversation_id": ident, "preset": "three"})
    assert [message.content for message in api.model.requests[-1].messages] == ["二", "二", "三"]


# ---- memories ----


async def test_a_request_chooses_its_memory(tmp_path: Path):
    history = [
        {"role": role, "content": text} for role, text in (("user", "一"), ("ai", "1"), ("user", "二"), ("ai", "2"))
    ]
    asked: dict[str, object] = {"query": "问", "history": history, "model_name": WRITER}
    async with api_bench(settings_for(tmp_path, answering=Answering(memory_tokens=20, memory_recent=2))) as api:
        await api.events("/chat/chat", asked)
        await api.events("/chat/chat", asked | {"memory": "token_budget"})
        api.model.lines = [["摘要"]]
        await api.events("/chat/chat", asked | {"memory": "running_summary"})
        await api.events("/chat/chat", asked | {"memory": "running_summary"})
    shown = [[message.content for message in request.messages] for request in api.model.requests]
    assert shown[:2] == [["一", "1", "二", "2", "问"], ["二", "2", "问"]]
    assert len(shown) == 5
    assert "<消息>\nuser: 一\nassistant: 1\n</消息>" in shown[2][0]
    assert shown[3] == shown[4]
    assert "摘要" in shown[3][0]
    assert shown[3][2:] == ["二", "2", "问"]


@pytest.mark.parametrize("path", ["/chat/chat", "/chat/knowledge_base_chat"])
async def test_a_memory_that_cannot_be_used_is_refused_before_the_answer(api: ApiBench, path: str):
    await api.create()
    unknown = (await api.post(path, about(memory="elephant"))).json()
    assert (unknown["code"], unknown["error"]["code"]) == (400, "variant.unknown")
    quoting = (await api.post(path, about(memory="running_summary", model_name="talk"))).json()
    assert (quoting["code"], quoting["error"]["code"]) == (400, "model.does_not_write")
    assert api.model.requests == []


# ---- what a base says ----


async def test_a_base_says_how_it_is_answered_until_a_request_says_otherwise(api: ApiBench):
    await api.create()
    chosen = {"when_nothing_found": "strict", "sufficient_relevance": 0.3, "strategy": "refine", "preset": None}
    said = await api.post("/knowledge_base/update_answering", {"knowledge_base_name": BASE, "answering": chosen})
    assert said.json()["data"] == chosen
    (details,) = (await api.get("/knowledge_base/details")).json()["data"]
    assert details["answering"] == chosen
    first, _ = await api.events("/chat/knowledge_base_chat", about())
    assert first["answer"].startswith("文档中没有找到")
    await api.events("/chat/knowledge_base_chat", about(when_nothing_found="free"))
    assert len(api.model.requests) == 1
    await api.post("/knowledge_base/update_answering", {"knowledge_base_name": BASE, "answering": {}})
    await api.events("/chat/knowledge_base_chat", about())
    assert len(api.model.requests) == 2


async def test_a_base_refuses_by_its_own_threshold(api: ApiBench):
    await api.create()
    await api.upload(("假期.txt", "员工每年有五天年假。"))
    for least, asked in ((0.0, 1), (1.0, 1)):
        chosen = {"when_nothing_found": "strict", "sufficient_relevance": least}
        await api.post("/knowledge_base/update_answering", {"knowledge_base_name": BASE, "answering": chosen})
        await api.events("/chat/knowledge_base_chat", about())
        assert len(api.model.requests) == asked


@pytest.mark.parametrize("chosen", [{"strategy": "guess"}, {"preset": "no such preset"}])
async def test_a_base_takes_no_name_that_is_unknown(api: ApiBench, chosen: dict[str, str]):
    await api.create()
    said = await api.post("/knowledge_base/update_answering", {"knowledge_base_name": BASE, "answering": chosen})
    assert said.json()["error"]["code"] == UnknownVariant.code
    (details,) = (await api.get("/knowledge_base/details")).json()["data"]
    assert set(details["answering"].values()) == {None}


async def test_a_base_answers_openai_clients_as_it_says(api: ApiBench):
    await api.create()
    await api.post(
        "/knowledge_base/update_answering",
        {"knowledge_base_name": BASE, "answering": {"when_nothing_found": "strict"}},
    )
    body = {"model": WRITER, "messages": [{"role": "user", "content": ASKED}]}
    said = await api.post(f"/knowledge_base/local_kb/{BASE}/chat/completions", body)
    assert said.json()["choices"][0]["message"]["content"].startswith("文档中没有找到")
    assert api.model.requests == []


# ---- follow-ups ----


async def test_a_follow_up_is_searched_beside_what_it_leans_on(api: ApiBench):
    await api.create()
    await api.upload(
        ("文学院.txt", "文学院的院长是李四，副院长是王五。"),
        *((f"{name}.txt", f"{name}的院长是张三，院长每周接待来访。") for name in ("法学院", "商学院", "理学院")),
    )
    asked = ["文学院有哪些专业", "文学院在哪栋楼"]
    history = [{"role": role, "content": text} for text in asked for role in ("user", "assistant")]
    body = about("学院的院长是谁？", model_name="talk", top_k=1, explain=True)
    *_, last = await api.events("/chat/knowledge_base_chat", {**body, "history": history})
    assert [citation["file_name"] for citation in last["citations"]] == ["文学院.txt"]
    assert last["why"]["wordings"] == [f"{earlier} 学院的院长是谁？" for earlier in asked]
    assert last["query"] == "学院的院长是谁？"
    *_, last = await api.events("/chat/knowledge_base_chat", body)
    assert last["why"]["wordings"] == []
