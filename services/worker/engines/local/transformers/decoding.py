"""Decoding: one answer, a few tokens at a time, with a key-value cache that lives as long as it. Runs in the thread."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.worker.engines.local.transformers.loading import Loaded
from services.worker.engines.local.transformers.sampling import Sampler, Sampling

if TYPE_CHECKING:
    import torch
    from transformers import Cache

_STEP_TOKENS = {"cpu": 128, "cuda": 2048, "mps": 512}
"""Tokens of a prompt read at a time: between two steps an answer can be given up, and others get their turn."""
_GRAIN_TOKENS = 16
"""On a CPU a step is a multiple of this, or shorter than it. For each length of a step oneDNN compiles kernels of some
megabytes and keeps them: over 600 prompts of all lengths a process grew by 370 MB without this, by 70 MB with it.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be decoded.

    Attributes:
        prompt: its tokens, at least one.
        answer_limit: tokens the answer may have, at least one.
        sampling: how to choose them.
        end_ids: tokens that end the answer.
        top_logprobs: how many alternatives are told with each token; None: no probabilities at all.
        interval: tokens decoded at a time.
    """

    prompt: Sequence[int]
    answer_limit: int
    sampling: Sampling
    end_ids: Collection[int]
    top_logprobs: int | None = None
    interval: int = 1


@dataclass(frozen=True, slots=True)
class Token:
    """A decoded token; `logprobs` holds itself first and then the likeliest, where they were asked for."""

    ident: int
    logprobs: tuple[tuple[int, float], ...] = ()


class Decoding:
    """One answer in the making. Nothing of it outlives it: who drops it drops its cache."""

    def __init__(self, loaded: Loaded, plan: Plan) -> None:
        self._loaded = loaded
        self._plan = plan
        self._sampler = Sampler(plan.sampling, plan.prompt, loaded.end_ids, loaded.device)
        self._unread = list(plan.prompt)
        self._cache: Cache | None = None
        self._narrow = "logits_to_keep" in inspect.signature(loaded.model.forward).parameters
        # A model with a state besides its cache may take a prompt only in one go.
        stateful = getattr(loaded.model, "_is_stateful", False)
        self._step = len(plan.prompt) if stateful else _STEP_TOKENS[loaded.device.type]
        self._grain = 1 if stateful or loaded.device.type != "cpu" else _GRAIN_TOKENS
        self.count = 0
        self.reason: str | None = None

    def advance(self) -> list[Token]:
        """Decode up to `interval` tokens; none while the prompt is being read. Sets `reason` at the answer's end.

        The token that ends the answer is counted, but not given.
        """
        import torch

        given: list[Token] = []
        with torch.inference_mode():
            wanted = 1 if self._cache is None else self._plan.interval
            while self.reason is None and len(given) < wanted:
                logits = self._forward(self._taken())
                if self._unread:
                    return given
                given += self._chosen(logits)
        return given

    def _taken(self) -> Sequence[int]:
        """The tokens of the next step."""
        size = min(self._step, len(self._unread))
        if size > self._grain:
            size -= size % self._grain
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken

    def drop(self) -> None:
        """Let go of the cache; for an answer that cannot go on while somebody still holds it."""
        self._cache = None

    def _forward(self, tokens: Sequence[int]) -> torch.Tensor:
        import torch

        narrow = {"logits_to_keep": 1} if self._narrow else {}
        ids = torch.tensor([tokens], device=self._loaded.device)
        said = self._loaded.model(input_ids=ids, past_key_values=self._cache, use_cache=True, **narrow)
        self._cache = said.past_key_values
        last: torch.Tensor = said.logits[0, -1]
        return last.to(torch.float32)

    def _chosen(self, logits: torch.Tensor) -> list[Token]:
        likely = None if self._plan.top_logprobs is None else logits.log_softmax(dim=-1)
        ident = self._sampler.choose(logits)
        self.count += 1
        self._unread = [ident]
        if ident in self._plan.end_ids:
            self.reason = "stop"
            return []
        if self.count >= self._plan.answer_limit:
            self.reason = "length"
        return [Token(ident, () if likely is None else self._logprobs(ident, likely))]

    def _logprobs(self, ident: int, likely: torch.Tensor) -> tuple[tuple[int, float], ...]:
        values, idents = likely.topk(self._plan.top_logprobs or 0)
        alternatives = zip(idents.tolist(), values.tolist(), strict=True)
        return ((ident, float(likely[ident])), *alternatives)
