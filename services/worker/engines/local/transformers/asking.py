"""What a request asks beyond the wire's own fields: sampling, tools, logprobs. Refuses what cannot be done here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from services.foundation.errors import InvalidRequest
from services.wire.openai import ChatCompletionRequest

_NEEDS_VLLM = "the transformers engine cannot hold a model to it; serve the model with the vllm engine"
_FROM_OPERATOR = "only the operator sets it, in the model's options"
REFUSED: Mapping[str, str] = {
    "best_of": "it is gone from OpenAI's chat API; use n",
    "chat_template": _FROM_OPERATOR,
    "chat_template_kwargs": _FROM_OPERATOR,
    "guided_choice": _NEEDS_VLLM,
    "guided_grammar": _NEEDS_VLLM,
    "guided_json": _NEEDS_VLLM,
    "guided_regex": _NEEDS_VLLM,
    "prompt_embeds": "embeddings are not taken as a prompt",
    "prompt_logprobs": "the transformers engine gives none; serve the model with the vllm engine",
    "structured_outputs": _NEEDS_VLLM,
    "use_beam_search": "the transformers engine samples; serve the model with the vllm engine",
}
"""Fields that change the answer and are not understood here: said, not skipped."""


class Asked(BaseModel):
    """The fields of a chat request that go beyond the wire's own, by OpenAI's and vLLM's names."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    top_k: int = Field(default=0, ge=-1)
    min_p: float = Field(default=0.0, ge=0, le=1)
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, gt=0)
    logit_bias: dict[int, float] = {}
    ignore_eos: bool = False
    min_tokens: int = Field(default=0, ge=0)
    stop_token_ids: list[int] = []
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=20)
    tools: list[dict[str, JsonValue]] = []
    tool_choice: Literal["auto", "none"] = "auto"
    parallel_tool_calls: bool = True

    @property
    def with_tools(self) -> bool:
        """Whether the model is told of tools, and its calls are read."""
        return bool(self.tools) and self.tool_choice == "auto"


def read_asked(request: ChatCompletionRequest) -> Asked:
    """The request's further fields, checked.

    Raises:
        InvalidRequest: a value is out of range, or asks for what this engine cannot do.
    """
    given = {name: value for name, value in (request.model_extra or {}).items() if value is not None}
    for name, reason in REFUSED.items():
        if given.get(name):
            raise InvalidRequest(field=name, reason=reason)
    if not _is_text(given.get("response_format")):
        raise InvalidRequest(field="response_format", reason=_NEEDS_VLLM)
    if given.get("tool_choice", "auto") not in ("auto", "none"):  # a tuple: what is asked may be an object
        raise InvalidRequest(field="tool_choice", reason=f"only auto and none are possible: {_NEEDS_VLLM}")
    try:
        return Asked.model_validate(given)
    except ValidationError as failure:
        first = failure.errors(include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(field=name, reason=first["msg"]) from None


def _is_text(response_format: object) -> bool:
    return response_format is None or (isinstance(response_format, dict) and response_format.get("type") == "text")
