"""Answer: the tokens of one answer as chat chunks: text, thinking, tool calls, probabilities. Used by the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from services.wire.openai import ChatChunk, ChatCompletionRequest, ChunkChoice, Delta, Usage, new_id
from services.worker.engines.local.transformers.asking import Asked
from services.worker.engines.local.transformers.decoding import Token
from services.worker.engines.local.transformers.detokenizing import Detokenizer
from services.worker.engines.local.transformers.markup import Call, Markup, Piece, Text
from services.worker.engines.text import StopFilter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Answer:
    """Writes one answer.

    Args:
        request: what is answered.
        asked: its further fields.
        tokenizer: of the model.
        thinks: the prompt has opened the model's thinking.
    """

    def __init__(
        self, request: ChatCompletionRequest, asked: Asked, tokenizer: PreTrainedTokenizerBase, *, thinks: bool
    ) -> None:
        self._ident = new_id("chatcmpl")
        self._model = request.model
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer(tokenizer)
        self._stops = StopFilter(request.stops)
        self._markup = Markup(thinks=thinks, tools=asked.with_tools)
        self._one_call = not asked.parallel_tool_calls
        self._calls = 0
        self._logprobs: list[JsonValue] = []

    @property
    def is_complete(self) -> bool:
        """Whether nothing that follows would be part of it."""
        return self._stops.stopped or (self._one_call and self._calls > 0)

    def opening(self) -> ChatChunk:
        """The chunk that says who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    def feed(self, tokens: Sequence[Token]) -> list[ChatChunk]:
        """The chunks that are certain now."""
        self._logprobs += [self._logprob(token) for token in tokens if token.logprobs]
        return self._write("".join(self._detokenizer.feed(token.ident) for token in tokens))

    def closing(self, reason: str | None, prompt_tokens: int, completion_tokens: int) -> list[ChatChunk]:
        """What was held back, the chunk with the finish reason, and the usage.

        Args:
            reason: why decoding ended; None: it was not let to its end.
            prompt_tokens: tokens read.
            completion_tokens: tokens decoded.
        """
        chunks: list[ChatChunk] = []
        if not self.is_complete:
            chunks += self._write(self._detokenizer.rest())
        if not self.is_complete:
            chunks += self._chunks([*self._markup.feed(self._stops.rest()), *self._markup.rest()])
        elif self._stops.stopped:
            chunks += self._chunks(self._markup.rest())
        reason = "stop" if self.is_complete or reason is None else reason
        chunks.append(self._chunk({}, "tool_calls" if self._calls and reason == "stop" else reason))
        usage = Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            total_tokens=prompt_tokens + completion_tokens,
        )
        chunks.append(ChatChunk(id=self._ident, model=self._model, choices=[], usage=usage))
        return chunks

    def _write(self, text: str) -> list[ChatChunk]:
        return self._chunks(self._markup.feed(self._stops.feed(text))) if text else []

    def _chunks(self, pieces: Sequence[Piece]) -> list[ChatChunk]:
        chunks = []
        for piece in pieces:
            if isinstance(piece, Call):
                if not (self._one_call and self._calls):
                    chunks.append(self._chunk({"tool_calls": [self._call(piece)]}))
            else:
                chunks.append(self._chunk({"content" if isinstance(piece, Text) else "reasoning": piece.text}))
        return chunks

    def _call(self, call: Call) -> JsonValue:
        function: JsonValue = {"name": call.name, "arguments": call.arguments}
        self._calls += 1
        return {"index": self._calls - 1, "id": new_id("call"), "type": "function", "function": function}

    def _chunk(self, delta: Mapping[str, JsonValue], reason: str | None = None) -> ChatChunk:
        fields: dict[str, object] = {"delta": Delta.model_validate(delta), "finish_reason": reason}
        if self._logprobs:
            fields["logprobs"], self._logprobs = {"content": self._logprobs}, []
        return ChatChunk(id=self._ident, model=self._model, choices=[ChunkChoice.model_validate(fields)])

    def _logprob(self, token: Token) -> JsonValue:
        (_, own), *others = token.logprobs
        likeliest: list[JsonValue] = [self._named(ident, value) for ident, value in others]
        return {**self._named(token.ident, own), "top_logprobs": likeliest}

    def _named(self, ident: int, value: float) -> dict[str, JsonValue]:
        text = str(self._tokenizer.decode([ident], clean_up_tokenization_spaces=False))
        return {"token": text, "logprob": value, "bytes": list(text.encode())}
