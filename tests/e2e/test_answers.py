"""From a real PDF to a cited answer: over HTTP, and with the official openai client."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.e2e.asking import ask, events
from tests.e2e.conftest import upload
from tests.stack import Stack

ZH_QUESTION = "2021年第三季度的加权平均净资产收益率是多少？"
EN_QUESTION = "How many miles of pipe were renewed in 2022?"


def test_chinese_report_is_answered_with_the_right_page(api, make_base: Callable[[str], str], reports) -> None:
    base = make_base("季报")
    assert upload(api, base, reports["季度报告.pdf"]) == {}
    answer = ask(api, base, ZH_QUESTION)
    first = answer["citations"][0]
    assert "2.37%" in answer["answer"]
    assert "2.37%" in first["excerpt"]
    assert (first["file_name"], first["page"]) == ("季度报告.pdf", 2)
    assert "[1]" in answer["answer"]
    opened = httpx.get(first["url"], trust_env=False)
    assert opened.headers["content-type"] == "application/pdf"
    assert opened.headers["content-disposition"].startswith("inline")
    assert opened.content == reports["季度报告.pdf"].read_bytes()
    assert first["url"].endswith("#page=2")


def test_english_report_is_answered_with_the_right_page(api, make_base: Callable[[str], str], reports) -> None:
    base = make_base("annual reports")
    assert upload(api, base, reports["annual report.pdf"]) == {}
    answer = ask(api, base, EN_QUESTION)
    assert "57" in answer["answer"]
    assert "57" in answer["citations"][0]["excerpt"]
    assert answer["citations"][0]["page"] == 2
    dam = ask(api, base, "Why was the Fernhill reservoir closed?")
    assert "dam" in dam["answer"]
    assert dam["citations"][0]["page"] == 3


def test_follow_up_is_understood(api, make_base: Callable[[str], str], reports) -> None:
    base = make_base("追问")
    upload(api, base, reports["季度报告.pdf"])
    first = ask(api, base, ZH_QUESTION)
    history = [{"role": "user", "content": ZH_QUESTION}, {"role": "assistant", "content": first["answer"]}]
    second = ask(api, base, "那2020年第三季度呢？", history=history)
    assert second["query"] == "2020年第三季度的加权平均净资产收益率是多少？"
    assert "1.98%" in second["answer"]


def test_nothing_in_the_material_is_said_in_the_language_of_the_question(api, make_base, reports) -> None:
    base = make_base("无答案")
    upload(api, base, reports["季度报告.pdf"], reports["annual report.pdf"])
    chinese = ask(api, base, "火星上最高的山叫什么名字？")
    english = ask(api, base, "Who composed the opera Parsifal?")
    assert re.search(r"没有|未", chinese["answer"])
    assert re.search(r"[\u4e00-\u9fff]", english["answer"]) is None
    assert re.search(r"no answer|not |n't", english["answer"])


def test_not_streamed_is_one_event_with_the_same_answer(api, make_base: Callable[[str], str], reports) -> None:
    base = make_base("one event")
    upload(api, base, reports["annual report.pdf"])
    streamed = ask(api, base, EN_QUESTION)
    body = {"query": EN_QUESTION, "knowledge_base_name": base}
    whole = list(events(api, "/chat/knowledge_base_chat", body))
    assert len(whole) == 1
    assert whole[0]["answer"] == streamed["answer"]
    assert whole[0]["docs"] == streamed["docs"]


def test_the_openai_client_gets_the_same_answer(api, stack: Stack, make_base: Callable[[str], str], reports) -> None:
    base = make_base("openai")
    upload(api, base, reports["annual report.pdf"])
    expected = ask(api, base, EN_QUESTION)
    with openai.OpenAI(base_url=f"{stack.api}/knowledge_base/local_kb/{base}", api_key="none") as client:
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": EN_QUESTION}]
        whole = client.chat.completions.create(model="extractive", messages=messages)
        streamed = client.chat.completions.create(
            model="extractive", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(streamed)
    assert whole.choices[0].message.content == expected["answer"]
    assert whole.model_extra is not None
    assert whole.model_extra["citations"][0]["page"] == 2
    assert whole.usage is not None
    assert whole.usage.total_tokens > 0
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == expected["answer"]
    used = chunks[-1].usage
    assert used is not None
    assert used.completion_tokens > 0


def test_the_gateway_serves_models_and_vectors_to_the_openai_client(stack: Stack) -> None:
    with openai.OpenAI(base_url=f"{stack.gateway}/v1", api_key="none") as client:
        assert {"extractive", "all-minilm-l6-v2"} <= {model.id for model in client.models.list()}
        alone = client.chat.completions.create(model="extractive", messages=[{"role": "user", "content": "Hello?"}])
        answer = alone.choices[0].message.content
        assert answer is not None
        assert "models.yaml" in answer
        vectors = client.embeddings.create(model="all-minilm-l6-v2", input=["water", "pipe"])
        assert [len(item.embedding) for item in vectors.data] == [384, 384]
        with pytest.raises(openai.NotFoundError) as unknown:
            client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "?"}])
        assert unknown.value.code == "model_not_found"


def test_samples_answer_about_the_product(api) -> None:
    assert "samples" in api.get("/knowledge_base/list_knowledge_bases").json()["data"]
    chinese = ask(api, "samples", "怎样添加一个真正的大模型？")
    english = ask(api, "samples", "How do I add a real model?")
    assert "models.yaml" in chinese["answer"] + chinese["citations"][0]["excerpt"]
    assert "models.yaml" in english["answer"] + english["citations"][0]["excerpt"]


def test_ten_users_at_once_get_their_own_answers(stack: Stack, api, make_base, tmp_path: Path) -> None:
    base = make_base("ten users")
    towns = [f"Town{letter}" for letter in "ABCDEFGHIJ"]
    facts = {town: 1000 + 7 * number for number, town in enumerate(towns)}
    paths = []
    for town, people in facts.items():
        path = tmp_path / f"{town}.md"
        path.write_text(f"# {town}\n\nThe population of {town} is {people} people. Its mayor lives in {town}.")
        paths.append(path)
    assert upload(api, base, *paths) == {}

    def one_user(town: str) -> str:
        with httpx.Client(base_url=stack.api, trust_env=False, timeout=60) as client:
            answer: str = ask(client, base, f"What is the population of {town}?")["answer"]
            return answer

    with ThreadPoolExecutor(10) as pool:
        answers = dict(zip(towns, pool.map(one_user, towns), strict=True))
    for town, answer in answers.items():
        assert str(facts[town]) in answer, (town, answer)
        assert not [other for other in towns if other != town and str(facts[other]) in answer], (town, answer)


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("path", "question", "figure", "page"),
    [
        ("pdf/zh_quarterly_report_tables.pdf", "2018年第一季度的加权平均净资产收益率是多少？", "-2.34%", 3),
        ("pdf/en_8k_filing.pdf", "Whom did the Board of Directors elect as a director?", "Helena Buonanno Foulkes", 2),
        ("pdf/en_8k_filing.pdf", "What is the registrant's telephone number?", "425-313-8100", 1),
    ],
)
def test_real_documents(corpora: Path, api, make_base, path: str, question: str, figure: str, page: int) -> None:
    document = corpora / "documents" / path
    base = make_base(f"real {document.stem}")
    assert upload(api, base, document) == {}
    answer = ask(api, base, question)
    first = answer["citations"][0]
    assert figure in answer["answer"] + first["excerpt"]
    assert first["page"] == page
