"""ChatEvents → 0.2.10 events, and ChatEvents → OpenAI bodies. The only place that knows either shape."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from pydantic import JsonValue

from services.api.chat.support import support
from services.api.domain.answering import Approach, ChatEvent, Citations, Finished, Token
from services.api.domain.knowledge import Citation
from services.api.knowledge.render import why_body
from services.foundation.sse import closing
from services.wire.chatchat import AnsweringBody, CitationBody, SupportBody
from services.wire.openai import ChatChoice, ChatChunk, ChatCompletion, ChoiceMessage, ChunkChoice, Delta, Usage, new_id

# Recorded on the 0.2.10 wire; old clients look for it.
NOTHING_FOUND = "<span style='color:red'>未找到相关文档,该回答为大模型自身能力解答！</span>"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, collected from its events."""

    text: str
    found: Citations
    finished: Finished
    approach: Approach | None = None

    @property
    def query(self) -> str:
        """What was searched for."""
        return self.found.query

    @property
    def citations(self) -> tuple[Citation, ...]:
        """What it may cite."""
        return self.found.citations


async def collect(events: AsyncIterator[ChatEvent]) -> Answer:
    """Read an answer to its end."""
    pieces: list[str] = []
    found = Citations("", ())
    finished = Finished("stop")
    approach: Approach | None = None
    async for event in events:
        match event:
            case Token(text):
                pieces.append(text)
            case Citations():
                found = event
            case Approach():
                approach = event
            case Finished():
                finished = event
    return Answer("".join(pieces), found, finished, approach)


def event_text(body: Mapping[str, JsonValue]) -> str:
    """One 0.2.10 event: Python's default JSON separators, other scripts unescaped."""
    return json.dumps(body, ensure_ascii=False)


async def chat_events(events: AsyncIterator[ChatEvent], message_id: str, *, stream: bool) -> AsyncIterator[str]:
    """/chat/chat: `{"text", "message_id"}`; without `stream`, one event with all of it."""
    if not stream:
        yield event_text({"text": (await collect(events)).text, "message_id": message_id})
        return
    async with closing(events):
        async for event in events:
            if isinstance(event, Token):
                yield event_text({"text": event.text, "message_id": message_id})


async def knowledge_events(
    events: AsyncIterator[ChatEvent], base_url: str, *, stream: bool, explain: bool = False
) -> AsyncIterator[str]:
    """/chat/knowledge_base_chat: `{"answer"}`…, then `{"docs", "citations", "query"}`; without `stream`, one event.

    `answering` stands beside the citations where the passages were not simply read all at once.
    `explain`: with `why` these passages were found, and `support` of each sentence by them, in the last event.
    """
    if not stream:
        answer = await collect(events)
        explained = _explained(answer.found, answer.text) if explain else {}
        sources = {**_sources(answer.found, base_url), **approach_field(answer.approach), **explained}
        yield event_text({"answer": answer.text, **sources})
        return
    found = Citations("", ())
    approach: Approach | None = None
    pieces: list[str] = []
    async with closing(events):
        async for event in events:
            match event:
                case Citations():
                    found = event
                case Token(text):
                    pieces.append(text)
                    yield event_text({"answer": text})
                case Approach():
                    approach = event
                case Finished():
                    explained = _explained(found, "".join(pieces)) if explain else {}
                    yield event_text({**_sources(found, base_url), **approach_field(approach), **explained})


def _sources(found: Citations, base_url: str) -> dict[str, JsonValue]:
    documents = [_document(citation, base_url) for citation in found.citations] or [NOTHING_FOUND]
    return {
        "docs": list(documents),
        "citations": [citation_body(citation, base_url).model_dump() for citation in found.citations],
        "query": found.query,
    }


def _explained(found: Citations, answer: str) -> dict[str, JsonValue]:
    sentences = [
        SupportBody(
            text=sentence.text,
            start=sentence.start,
            cited=list(sentence.cited),
            share=round(sentence.share, 4),
            support=sentence.support.value,
        ).model_dump()
        for sentence in support(answer, found.citations)
    ]
    why = {} if found.explanation is None else {"why": why_body(found.explanation).model_dump()}
    return {**why, "support": list[JsonValue](sentences)}


def _document(citation: Citation, base_url: str) -> str:
    link = _download(citation, base_url, preview=False)
    where = f"({link})" if link else ""  # as recorded: nothing follows the name of a temporary file
    named = citation.file_name.value.replace("](", "]\\(")  # no name ends the link's text and begins one of its own
    return f"出处 [{citation.number}] [{named}]{where} \n\n{citation.excerpt}\n\n"


def _download(citation: Citation, base_url: str, *, preview: bool) -> str:
    if citation.knowledge_base is None:
        return ""
    asked = {"knowledge_base_name": citation.knowledge_base.value, "file_name": citation.file_name.value}
    if preview:
        asked["preview"] = "true"
    page = f"#page={citation.place.page}" if preview and citation.place.page is not None else ""
    return f"{base_url}knowledge_base/download_doc?{urlencode(asked)}{page}"


def approach_field(approach: Approach | None) -> dict[str, JsonValue]:
    """`answering`: how the passages were read, unless all were read at once."""
    if approach is None or approach == Approach("stuff"):
        return {}
    body = AnsweringBody(
        strategy=approach.strategy,
        groups=[list(group) for group in approach.groups],
        left_out=list(approach.left_out),
        unrated=list(approach.unrated),
        cut_short=approach.cut_short,
    )
    return {"answering": body.model_dump()}


def citation_body(citation: Citation, base_url: str) -> CitationBody:
    """A citation as structure; `url` opens the file, a PDF at the cited page, and is empty where none can be opened."""
    place = citation.place
    return CitationBody(
        number=citation.number,
        knowledge_base="" if citation.knowledge_base is None else citation.knowledge_base.value,
        file_name=citation.file_name.value,
        page=place.page,
        sheet=place.sheet,
        row=place.row,
        last_row=place.last_row,
        heading=list(place.heading),
        excerpt=citation.excerpt,
        similarity=round(citation.similarity, 4),
        chunk_id=citation.chunk_id,
        url=_download(citation, base_url, preview=True),
    )


def citations_json(citations: Sequence[Citation], base_url: str) -> str:
    """Citations as they are kept with a turn."""
    return json.dumps([citation_body(citation, base_url).model_dump() for citation in citations], ensure_ascii=False)


def openai_completion(answer: Answer, model: str, base_url: str) -> ChatCompletion:
    """A whole answer as OpenAI writes it, with `citations` beside the choices."""
    return ChatCompletion(
        model=model,
        choices=[
            ChatChoice(
                message=ChoiceMessage(content=answer.text), finish_reason=answer.finished.reason
            )
        ],
        usage=_usage(answer.finished),
        citations=[citation_body(citation, base_url).model_dump() for citation in answer.citations],
        **approach_field(answer.approach),
    )  # fmt: skip


async def openai_events(
    events: AsyncIterator[ChatEvent], model: str, base_url: str, *, include_usage: bool
) -> AsyncIterator[str]:
    """An answer as an OpenAI stream; the last content chunk carries `citations`."""
    ident = new_id("chatcmpl")
    found: tuple[Citation, ...] = ()
    approach: Approach | None = None

    def chunk(delta: Delta, reason: str | None = None) -> ChatChunk:
        return ChatChunk(id=ident, model=model, choices=[ChunkChoice(delta=delta, finish_reason=reason)])

    yield _line(chunk(Delta(role="assistant", content="")))
    async with closing(events):
        async for event in events:
            match event:
                case Citations(citations=citations):
                    found = citations
                case Token(text):
                    yield _line(chunk(Delta(content=text)))
                case Approach():
                    approach = event
                case Finished(reason):
                    last = chunk(Delta(), reason)
                    cited: list[JsonValue] = [citation_body(citation, base_url).model_dump() for citation in found]
                    yield _line(last, citations=cited, **approach_field(approach))
                    if include_usage:
                        yield _line(ChatChunk(id=ident, model=model, choices=[], usage=_usage(event)))
    yield "[DONE]"


def _line(chunk: ChatChunk, **extra: JsonValue) -> str:
    body: dict[str, JsonValue] = chunk.model_dump(exclude_none=True)
    for choice in chunk.choices:
        if choice.finish_reason is None:
            body["choices"] = [{**choice.model_dump(exclude_none=True), "finish_reason": None}]
    return json.dumps({**body, **extra}, ensure_ascii=False)


def _usage(finished: Finished) -> Usage:
    return Usage(
        prompt_tokens=finished.prompt_tokens,
        completion_tokens=finished.completion_tokens,
        total_tokens=finished.prompt_tokens + finished.completion_tokens,
    )
