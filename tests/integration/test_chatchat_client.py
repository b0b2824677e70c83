"""ChatchatClient against a scripted API: its exchanges, streams and failures over real HTTP."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest

from services.clients.chatchat import AnswerPiece, AnswerSources, ChatchatClient, FileToUpload, said
from services.foundation.errors import ConversationNotFound, InvalidName, NoWorker, ServiceUnreachable
from services.wire.chatchat import ChatRequest, CreateKnowledgeBase, KnowledgeBaseChatRequest, SearchRequest
from tests.integration.webui_api import OWNER, Script, serving, with_samples
from tests.live import free_port


@pytest.fixture
def api() -> Iterator[Script]:
    with serving(with_samples()) as script:
        yield script


class TestClient:
    @pytest.fixture
    def client(self, api: Script) -> Iterator[ChatchatClient]:
        made = ChatchatClient(api.address, timeout_seconds=5, language="en")
        yield made
        made.close()

    def test_bases_and_files(self, client: ChatchatClient, api: Script) -> None:
        client.create_knowledge_base(CreateKnowledgeBase(knowledge_base_name="新库", kb_info="说明"))
        assert [(base.name, base.description) for base in client.knowledge_bases()][1] == ("新库", "说明")
        upload = FileToUpload("报告 1.md", io.BytesIO(b"# text"))
        assert client.upload("新库", upload, override=True) == {}
        assert client.upload("新库", FileToUpload("b.md", io.BytesIO(b"broken")), override=False).keys() == {"b.md"}
        assert api.asked[0] == {"upload": ["报告 1.md"], "override": True}
        assert [file.state for file in client.files("新库")] == ["indexed", "failed"]
        assert client.reindex("新库", ["b.md"]) == {}
        assert client.delete_files("新库", ["b.md"]) == {}
        assert api.asked[-1]["delete_content"] is True
        client.delete_knowledge_base("新库")
        assert [base.name for base in client.knowledge_bases()] == ["samples"]
        assert client.supported_extensions()[0] == ".pdf"
        assert api.languages[-1] == "en"

    def test_search(self, client: ChatchatClient, api: Script) -> None:
        found = client.search(SearchRequest(query="q", knowledge_base_name="samples", top_k=7))
        assert found[0].score == 0.4
        assert api.asked == [{"query": "q", "knowledge_base_name": "samples", "top_k": 7}]

    def test_a_search_and_why(self, client: ChatchatClient, api: Script) -> None:
        found = client.explain_search(SearchRequest(query="q", knowledge_base_name="samples", top_k=7))
        assert [document.id for document in found.documents] == [found.why.candidates[0].chunk_id]
        assert found.why.arms[1].left_out == "unreadable"
        assert api.asked == [{"query": "q", "knowledge_base_name": "samples", "top_k": 7}]

    def test_what_a_question_may_choose(self, client: ChatchatClient) -> None:
        offered = client.answering_options()
        assert (offered.strategy, offered.presets[0].top_k, offered.presets[1].temperature) == ("auto", 1, None)

    def test_conversations(self, client: ChatchatClient) -> None:
        opened = client.open_conversation(OWNER, "title")
        assert [found.title for found in client.conversations(OWNER)] == ["title"]
        asked = ChatRequest(query="q", conversation_id=opened.id)
        assert [event for event in client.answer(asked) if isinstance(event, AnswerPiece)]
        assert client.conversation(opened.id).turns[0].answer == "你好，世界。"
        client.delete_conversation(opened.id)
        with pytest.raises(ConversationNotFound):
            client.conversation(opened.id)

    def test_an_answer_with_its_sources(self, client: ChatchatClient) -> None:
        events = list(client.answer(KnowledgeBaseChatRequest(query="q", knowledge_base_name="samples")))
        assert [event.text for event in events if isinstance(event, AnswerPiece)] == ["你好", "，世界。"]
        assert isinstance(events[-1], AnswerSources)
        assert events[-1].citations[0].page == 12
        assert (events[-1].why, events[-1].support, events[-1].answering) == (None, (), None)

    def test_an_answer_that_is_explained(self, client: ChatchatClient, api: Script) -> None:
        api.support = [{"text": "你好，世界。", "start": 0, "cited": [], "share": 0.5, "support": "partly"}]
        api.answering = {"strategy": "refine", "groups": [[1]]}
        asked = KnowledgeBaseChatRequest(query="q", knowledge_base_name="samples", explain=True)
        (sources,) = [event for event in client.answer(asked) if isinstance(event, AnswerSources)]
        assert sources.why is not None
        assert (sources.why.query, sources.support[0].support) == ("q", "partly")
        assert sources.answering is not None
        assert sources.answering.groups == [[1]]

    def test_failures_before_and_in_the_stream(self, client: ChatchatClient, api: Script) -> None:
        with pytest.raises(NoWorker) as early:
            list(client.answer(ChatRequest(query="nobody")))
        assert said(early.value) == str(NoWorker(model="qwen3"))
        api.failure = NoWorker(model="late")
        with pytest.raises(NoWorker, match="late"):
            list(client.answer(ChatRequest(query="q")))
        with pytest.raises(InvalidName):
            client.create_knowledge_base(CreateKnowledgeBase(knowledge_base_name="a/b"))

    def test_closing_a_silent_stream_is_seen_by_the_api(self, client: ChatchatClient, api: Script) -> None:
        api.stall = True
        stream = client.answer(ChatRequest(query="q"))
        first = threading.Event()
        seen: list[object] = []

        def read() -> None:
            for event in stream:
                seen.append(event)
                if len(seen) == 2:
                    first.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert first.wait(5)
        stream.close()
        assert api.left.wait(2)
        reader.join(2)
        assert not reader.is_alive()
        assert len(client.models()) == 3  # other requests go on

    def test_no_server(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        client = ChatchatClient(url, timeout_seconds=1)
        with pytest.raises(ServiceUnreachable) as caught:
            client.models()
        assert caught.value.facts["url"] == url
        with pytest.raises(ServiceUnreachable):
            list(client.answer(ChatRequest(query="q")))
        client.close()
