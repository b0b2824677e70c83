"""How answers are made: the branches `knowledge.answering` and `presets` of the settings."""

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
    sufficient_relevance: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="strict and cautious: the least relevance of the best passage that is answered from. Found by "
        "python -m services.evaluation calibrate; 0: any passage.",
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
    wordings: int = Field(
        default=0,
        ge=0,
        le=5,
        description="In how many other wordings of the chat model's a question is searched too; only of models that "
        "rewrite. Each costs a search, and all of them one call more.",
    )
    memory: str = Field(
        default="window", description="What of a history the model is shown: window, token_budget or running_summary."
    )
    memory_messages: int | None = Field(default=None, ge=1, description="window: the last messages; None: all.")
    memory_tokens: int = Field(default=2000, ge=1, description="token_budget: estimated tokens of the messages shown.")
    memory_recent: int = Field(
        default=6, ge=2, description="running_summary: this many to twice as many messages stay as they are."
    )


class Preset(Node):
    """A named way to answer that a request may choose. None leaves it to the request and the settings."""

    temperature: float | None = Field(default=None, ge=0, le=2, description="Sampling temperature.")
    history_turns: int | None = Field(default=None, ge=0, description="The most earlier turns that the model is shown.")
    top_k: int | None = Field(default=None, ge=1, le=100, description="Passages given to the model.")
    repetition_penalty: float | None = Field(
        default=None, gt=0, le=10, description="Sent to models that take it (models.served) and to no others."
    )
