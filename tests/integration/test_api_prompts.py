"""Prompts over HTTP: 0.2.10's names, the language of the question, an operator's own, a template as written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.api_bench import BASE, ApiBench, api_bench, settings_for

TEMPLATE = "/server/get_prompt_template"
OF_0_2_10 = {
    "llm_chat": ["default", "with_history", "py"],
    "knowledge_base_chat": ["default", "text", "empty"],
    "search_engine_chat": ["default", "search"],
    "agent_chat": ["default", "ChatGLM3"],
}
EACH = [(use, name) for use, names in OF_0_2_10.items() for name in names]


@pytest.mark.parametrize(("use", "name"), EACH)
async def test_a_template_is_shown_as_it_is_written_in_the_readers_language(api: ApiBench, use: str, name: str):
    body = {"type": use, "name": name}
    chinese = await api.post(TEMPLATE, body)
    english = await api.post(TEMPLATE, body, accept_language="en")
    for answer in (chinese, english):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert isinstance(answer.json(), str)
        assert "{{ " in answer.json()
    assert (chinese.json() == english.json()) is ((use, name) == ("llm_chat", "default"))


@pytest.mark.parametrize("content", [b"", b"{}", b'{"type": "llm_chat"}'])
async def test_without_a_body_it_is_the_default_of_llm_chat(api: ApiBench, content: bytes):
    answer = await api.http.post(TEMPLATE, content=content, headers={"content-type": "application/json"})
    assert answer.text == '"{{ input }}"'


async def test_an_unknown_name_is_a_failure_in_an_envelope_and_an_unknown_type_is_malformed(api: ApiBench):
    answer = await api.post(TEMPLATE, {"type": "agent_chat", "name": "nowhere"}, accept_language="en")
    assert (answer.status_code, answer.json()["code"], answer.json()["error"]["code"]) == (200, 404, "prompt.not_found")
    assert answer.json()["msg"].endswith("Known: ChatGLM3, default.")
    assert (await api.post(TEMPLATE, {"type": "completion"})).status_code == 422
    assert (await api.post(TEMPLATE, {"type": "../llm_chat"})).status_code == 422


@pytest.mark.parametrize("name", ["default", "text", "empty"])
@pytest.mark.parametrize("query", ["员工每年有几天年假？", "How many days of 年假 does every employee have each year?"])
async def test_a_question_to_a_base_takes_its_prompt_by_name_and_language(api: ApiBench, name: str, query: str):
    await api.filled()
    body: dict[str, object] = {"query": query, "knowledge_base_name": BASE, "prompt_name": name}
    (event,) = await api.events("/chat/knowledge_base_chat", body)
    assert event["answer"] == query
    is_english = query.startswith("How")
    assert (("<context>" in api.model.prompt()), ("<已知信息>" in api.model.prompt())) == (is_english, not is_english)
    assert ("[1] " in api.model.prompt()) is (name != "empty")


@pytest.mark.parametrize("name", ["default", "with_history", "With History", "py"])
async def test_a_question_to_the_model_takes_its_prompt_by_name(api: ApiBench, name: str):
    await api.events("/chat/chat", {"query": "写一个循环", "prompt_name": name})
    assert api.model.prompt().endswith("写一个循环")
    assert (api.model.prompt() == "写一个循环") is (name == "default")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/chat/chat", "/chat/knowledge_base_chat"])
async def test_an_unknown_prompt_is_refused_before_the_answer(api: ApiBench, path: str, stream: bool):
    await api.create()
    body = {"query": "问", "knowledge_base_name": BASE, "prompt_name": "nowhere", "stream": stream}
    answer = (await api.post(path, body)).json()
    assert (answer["code"], answer["error"]["code"]) == (404, "prompt.not_found")
    assert api.model.requests == []


async def test_an_operators_prompts_win_and_the_shipped_ones_remain(tmp_path: Path):
    own = tmp_path / "prompts"
    own.mkdir()
    (own / "llm_chat.yaml").write_text(
        "default: {variables: [input], template: '自己的：{{ input }}'}\n"
        "brief.en: {variables: [input], template: 'Briefly: {{ input }}'}\n",
        encoding="utf-8",
    )
    async with api_bench(settings_for(tmp_path / "kept", server={"prompts_dir": own})) as api:
        for name in ("default", "brief", "py"):
            await api.events("/chat/chat", {"query": "写一个循环", "prompt_name": name})
    first, second, third = (api.model.prompt(number) for number in range(3))
    assert (first, second) == ("自己的：写一个循环", "Briefly: 写一个循环")
    assert third.startswith("你是一个聪明的代码助手")
