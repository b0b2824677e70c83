"""ChatchatClient's pure parts; the exchange itself is tested in integration/test_chatchat_client.py."""

from __future__ import annotations

import json
from contextlib import closing

import httpx
import pytest
from pydantic import SecretStr

from services.clients import answers
from services.clients.chatchat import AnswerPiece, AnswerSources, ChatchatClient, said
from services.foundation.errors import ChatchatError, NoWorker
from services.foundation.http import envelope_body


def decoded(body: object, status: int = 200) -> object:
    return answers.decoded(httpx.Response(status, json=body))


def test_a_failure_is_rebuilt_with_the_apis_sentence() -> None:
    with pytest.raises(NoWorker) as caught:
        decoded(envelope_body(NoWorker(model="m"), "r1", "zh-CN"))
    assert caught.value.facts == {"model": "m"}
    assert said(caught.value) == "目前没有工作进程提供模型 m。它可能正在启动，请稍后再试。"


def test_a_failure_of_an_old_server_keeps_its_sentence() -> None:
    with pytest.raises(ChatchatError) as caught:
        decoded({"code": 404, "msg": "未找到知识库 x", "data": None})
    assert said(caught.value) == "未找到知识库 x"


@pytest.mark.parametrize(("body", "status"), [({"detail": "Not Found"}, 404), ([1], 500)])
def test_another_status_is_a_failure_without_a_sentence(body: object, status: int) -> None:
    with pytest.raises(ChatchatError) as caught:
        decoded(body, status)
    assert said(caught.value) is None


def test_a_page_that_is_no_json_is_a_failure() -> None:
    with pytest.raises(ChatchatError, match="HTTP 502"):
        answers.decoded(httpx.Response(502, text="<html>Bad Gateway</html>"))


def test_events_of_both_chats() -> None:
    place = {"number": 1, "knowledge_base": "b", "file_name": "f", "chunk_id": "c", "url": "u"}
    citation = {**place, "excerpt": "e", "similarity": 0.5}
    assert list(answers.answer_events('{"text": "你", "message_id": "m"}')) == [AnswerPiece("你")]
    assert list(answers.answer_events('{"answer": "好"}')) == [AnswerPiece("好")]
    assert list(answers.answer_events('{"answer": ""}')) == []
    last = list(answers.answer_events(json.dumps({"docs": [], "citations": [citation], "query": "q"})))
    assert isinstance(last[0], AnswerSources)
    assert (last[0].citations[0].file_name, last[0].query) == ("f", "q")


def test_a_failure_in_mid_stream_is_raised() -> None:
    with pytest.raises(NoWorker):
        list(answers.answer_events(json.dumps(envelope_body(NoWorker(model="m"), "r", "en"))))


@pytest.mark.parametrize("event", ["no json", '{"citations": [{"number": "x"}]}'])
def test_an_event_that_is_none_of_ours_is_a_failure(event: str) -> None:
    with pytest.raises(ChatchatError):
        list(answers.answer_events(event))


def test_a_files_failure_is_its_outcome_and_another_is_raised() -> None:
    failure = envelope_body(NoWorker(model="m"), "r", "en")
    (told,) = answers.summary_events(json.dumps({**failure, "doc": "a.txt"}))
    assert (told.file, told.summary, type(told.failure)) == ("a.txt", None, NoWorker)
    with pytest.raises(NoWorker):
        list(answers.summary_events(json.dumps(failure)))
    assert list(answers.summary_events('{"code": 200}')) == []
    with pytest.raises(ChatchatError, match="shape"):
        list(answers.summary_events('{"code": 200, "doc": "a.txt"}'))


def test_a_download_url_is_quoted() -> None:
    client = ChatchatClient("http://api:7861/", timeout_seconds=1)
    url = client.download_url("a b", "报告 #1&2.pdf")
    assert url.startswith("http://api:7861/knowledge_base/download_doc?knowledge_base_name=a+b&file_name=%E6%8A%A5")
    assert "#" not in url
    client.close()


def test_links_to_files_are_signed_when_there_is_a_key_and_no_others_are() -> None:
    key = SecretStr("a-long-key-of-the-stack")
    with closing(ChatchatClient("http://api:7861/kb", timeout_seconds=1, key=key)) as client:
        assert "signature=" in client.download_url("季报", "a b.pdf")
        cited = "http://api:7861/kb/knowledge_base/download_doc?file_name=a.pdf&preview=true#page=3"
        assert client.link(cited).endswith("#page=3")
        assert client.link(cited) != cited
        for other in ("http://elsewhere/kb/knowledge_base/download_doc?file_name=a", "http://api:7861/kb/models"):
            assert client.link(other) == other
    with closing(ChatchatClient("http://api:7861", timeout_seconds=1)) as client:
        assert "signature" not in client.download_url("a", "b")
