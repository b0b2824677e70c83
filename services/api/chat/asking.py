"""What a chat request asks for: its own words, then those of its base, then the settings. Used by the routes."""

from __future__ import annotations

from collections.abc import Mapping

from services.api.chat.speaking import Speaker
from services.api.domain.answering import Manner, Sampling
from services.api.domain.knowledge import AnsweringChoice
from services.foundation.errors import InvalidRequest, UnknownVariant
from services.foundation.settings.tree import Preset
from services.wire.chatchat import ChatRequest, GroundedChatRequest

Body = ChatRequest | GroundedChatRequest
_NO_CHOICE = AnsweringChoice()


def preset_named(name: str, presets: Mapping[str, Preset]) -> Preset:
    """One of the presets. Raises UnknownVariant; the known ones are named."""
    if name not in presets:
        raise UnknownVariant(shelf="preset", name=name, known=", ".join(sorted(presets)) or "none")
    return presets[name]


class Asking:
    """One request, read. Its own words win over its preset, and both over what its base says.

    Raises UnknownVariant for a preset that is none; the known ones are named.

    Args:
        body: the request.
        model: the model it is for.
        speaker: knows what the model takes.
        presets: those of the settings.
        base: what the knowledge base says that is asked.
    """

    def __init__(
        self,
        body: Body,
        model: str,
        speaker: Speaker,
        presets: Mapping[str, Preset],
        base: AnsweringChoice = _NO_CHOICE,
    ) -> None:
        self._body = body
        self._model = model
        self._speaker = speaker
        self._base = base
        chosen = body.preset or base.preset
        self._preset = Preset() if chosen is None else preset_named(chosen, presets)

    def sampling(self) -> Sampling:
        """How the model writes. 0.2.10 reads a limit of zero or less as none."""
        limit = self._body.max_tokens
        preset = self._preset.temperature
        temperature = self._body.temperature if self._says("temperature") or preset is None else preset
        return Sampling(temperature, limit if limit and limit > 0 else None, self._repetition_penalty())

    def manner(self, language: str) -> Manner:
        """How it is answered, in `language` where the question has none."""
        body = self._body
        grounded = body if isinstance(body, GroundedChatRequest) else None
        least = grounded.sufficient_relevance if grounded else None
        return Manner(
            when_nothing_found=(grounded.when_nothing_found if grounded else None) or self._base.when_nothing_found,
            sufficient_relevance=self._base.sufficient_relevance if least is None else least,
            strategy=(grounded.strategy if grounded else None) or self._base.strategy,
            language=language,
            memory=body.memory,
            history_turns=self._shown_turns(),
        )

    def top_k(self, default: int) -> int:
        """How many passages are looked for."""
        return default if self._says("top_k") or self._preset.top_k is None else self._preset.top_k

    def kept_turns(self, default: int) -> int:
        """How many turns are read from the conversation on record."""
        turns = self._preset.history_turns
        return default if self._says("history_len") or isinstance(self._body.history, int) or turns is None else turns

    def _shown_turns(self) -> int | None:
        """/chat/chat never minded `history_len` where the messages are sent along; it wins over a preset, though."""
        if not self._says("history_len"):
            return self._preset.history_turns
        asked = self._body.history_len
        is_heeded = isinstance(self._body, GroundedChatRequest)
        return asked if is_heeded and asked is not None and asked >= 0 else None

    def _repetition_penalty(self) -> float | None:
        """A model that is not known to take it is sent none from a preset, and refuses what the request says itself."""
        known = self._speaker.served.get(self._model)
        asked = self._body.repetition_penalty
        if asked is not None:
            if known is not None and not known.takes_repetition_penalty:
                reason = f"the model {self._model!r} does not take it"
                raise InvalidRequest(field="repetition_penalty", reason=reason)
            return asked
        return self._preset.repetition_penalty if known is not None and known.takes_repetition_penalty else None

    def _says(self, field: str) -> bool:
        return field in self._body.model_fields_set
