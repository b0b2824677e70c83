"""MiddlewarePlan: what the worker's process tells the middleware in vLLM's, in one environment variable."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from pydantic import JsonValue

VARIABLE = "CHATCHAT_VLLM_MIDDLEWARE"


@dataclass(frozen=True, slots=True)
class MiddlewarePlan:
    """How the middleware behaves.

    Attributes:
        model: the name clients call it by.
        task: chat, embedding or rerank.
        context_tokens: longest request.
        concurrency: requests inside vLLM at a time.
        waiting_limit: requests that may wait for that.
        query_instruction: put before a query that is embedded.
        passage_instruction: put before a passage that is embedded.
        other_instruction: put before a text of which nobody says what it is.
        conversation: FastChat's conversation template, handed out on its wire.
        is_chatml: that template is ours, whose prompts are read back into messages.
        body_limit_bytes: a larger request body is refused.
    """

    model: str
    task: str = "chat"
    context_tokens: int = 8192
    concurrency: int = 256
    waiting_limit: int = 64
    query_instruction: str = ""
    passage_instruction: str = ""
    other_instruction: str = ""
    conversation: dict[str, JsonValue] = field(default_factory=dict)
    is_chatml: bool = True
    body_limit_bytes: int = 20_000_000

    def to_json(self) -> str:
        """The value of the variable."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> MiddlewarePlan:
        """The plan in the variable."""
        return cls(**json.loads(text))
