"""Sampler: which token follows, by penalties, temperature, min_p, top_k, top_p and a seed of the request's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.wire.openai import ChatCompletionRequest
from services.worker.engines.local.transformers.asking import Asked

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig

_LIKELY = 1024
"""Tokens among which top_p is looked for first; sorting a whole vocabulary costs milliseconds."""
_GREEDY_BELOW = 1e-5


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose tokens. Temperature 0 takes the likeliest."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    min_tokens: int = 0

    @property
    def looks_back(self) -> bool:
        """Whether it matters what was said before."""
        return bool(self.presence_penalty or self.frequency_penalty or self.repetition_penalty != 1.0)

    @property
    def narrows(self) -> bool:
        """Whether some tokens are out of the draw."""
        return self.top_k > 0 or self.top_p < 1.0 or self.min_p > 0.0


def sampling_of(request: ChatCompletionRequest, asked: Asked, model: GenerationConfig | None) -> Sampling:
    """What the request says, and where it says nothing, what the model's makers recommend."""

    def chosen(value: float | None, name: str, default: float) -> float:
        recommended = getattr(model, name, None)
        return value if value is not None else default if recommended is None else float(recommended)

    return Sampling(
        temperature=chosen(request.temperature, "temperature", 1.0),
        top_p=chosen(request.top_p, "top_p", 1.0),
        top_k=int(chosen(asked.top_k if "top_k" in asked.model_fields_set else None, "top_k", 0)),
        min_p=chosen(asked.min_p if "min_p" in asked.model_fields_set else None, "min_p", 0.0),
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        repetition_penalty=chosen(asked.repetition_penalty, "repetition_penalty", 1.0),
        logit_bias=asked.logit_bias,
        seed=request.seed,
        min_tokens=asked.min_tokens,
    )


class Sampler:
    """Chooses the tokens of one answer.

    Args:
        sampling: how.
        prompt: the prompt's tokens; the repetition penalty counts them too.
        end_ids: tokens that end an answer; withheld until it has `min_tokens`.
        device: where the logits are.
    """

    def __init__(
        self, sampling: Sampling, prompt: Sequence[int], end_ids: Collection[int], device: torch.device
    ) -> None:
        import torch

        self._sampling = sampling
        self._prompt = prompt
        self._end_ids = list(end_ids)
        self._chosen = 0
        self._random = torch.Generator(device=device)
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed % 2**63)
        self._counts: torch.Tensor | None = None
        self._met: torch.Tensor | None = None

    def choose(self, logits: torch.Tensor) -> int:
        """The next token, from the logits over the vocabulary (one dimension, float32; they are changed)."""
        if self._sampling.looks_back:
            self._penalise(logits)
        for token, bias in self._sampling.logit_bias.items():
            if 0 <= token < logits.shape[0]:
                logits[token] += bias
        if self._chosen < self._sampling.min_tokens and self._end_ids:
            logits[self._end_ids] = float("-inf")
        token = int(logits.argmax()) if self._sampling.temperature < _GREEDY_BELOW else self._draw(logits)
        self._chosen += 1
        if self._counts is not None and self._met is not None:
            self._counts[token] += 1
            self._met[token] = True
        return token

    def _penalise(self, logits: torch.Tensor) -> None:
        import torch

        if self._counts is None or self._met is None:
            self._counts = torch.zeros_like(logits)
            self._met = torch.zeros_like(logits, dtype=torch.bool)
            self._met[torch.tensor(self._prompt, device=logits.device)] = True
        factor = self._sampling.repetition_penalty
        if factor != 1.0:
            logits.copy_(torch.where(self._met, torch.where(logits > 0, logits / factor, logits * factor), logits))
        logits -= self._sampling.frequency_penalty * self._counts
        logits -= self._sampling.presence_penalty * (self._counts > 0)

    def _draw(self, logits: torch.Tensor) -> int:
        import torch

        shares = torch.softmax(logits / self._sampling.temperature, dim=-1)
        if not self._sampling.narrows:
            return int(torch.multinomial(shares, 1, generator=self._random))
        likely, tokens = self._ranked(shares)
        before = torch.cumsum(likely, dim=-1) - likely
        kept = (before < self._sampling.top_p) & (likely >= self._sampling.min_p * likely[0])
        kept[0] = True
        return int(tokens[torch.multinomial(likely * kept, 1, generator=self._random)])

    def _ranked(self, shares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens that top_k leaves, likeliest first; without top_k at least those that top_p and min_p leave."""
        import torch

        size = shares.shape[0]
        if 0 < self._sampling.top_k < size:
            likely, tokens = torch.topk(shares, self._sampling.top_k)
            return likely / likely.sum(), tokens
        likely, tokens = torch.topk(shares, min(size, _LIKELY))
        if likely.sum() >= self._sampling.top_p or likely[-1] < self._sampling.min_p * likely[0]:
            return likely, tokens
        return torch.sort(shares, descending=True)
