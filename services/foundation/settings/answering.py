"""The branch `knowledge.answering` of the settings: how answers are made from passages."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.foundation.settings.node import Node


class Answering(Node):
    """How answers are made from passages, where a request does not say it itself."""

    when_nothing_found: Literal["strict", "cautious", "free"] = Field(
        default="free",
        description="Without passages: a fixed sentence and no model (strict); a warning, then the model, where it "
        "writes (cautious); the model with the prompt 'empty', as 0.2.10 (free).",
    )
    strategy: str = Field(
        default="auto",
        description="auto, stuff, map_reduce, refine or map_rerank; auto: stuff where they all fit, else map_reduce.",
    )
    context_tokens: int = Field(
        default=4096, ge=128, description="Longest request of a model that models.served does not name."
    )
    answer_tokens: int = Field(
        default=1024, ge=16, description="Tokens kept free for the answer when a request names no limit."
    )
    group_tokens: int = Field(
        default=2000,
        ge=64,
        description="Passages read together in one step, in estimated tokens; at least one passage.",
    )
    step_tokens: int = Field(default=512, ge=16, description="Longest text a step before the last may write.")
    parallel_calls: int = Field(default=4, ge=1, le=64, description="Steps of one answer asked at the same time.")
