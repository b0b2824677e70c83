"""What is chosen for a base's answers, and what the base then says. Pure; drawn by `base_answering`."""

from __future__ import annotations

from collections.abc import Sequence

from services.wire.chatchat import BaseAnswering

_UNSAID = ""


def choices_of(names: Sequence[str], said: str | None) -> list[str]:
    """What is offered: nothing (empty) first. What the base says is an option, also when the API knows it no more."""
    gone = [said] if said and said not in names else []
    return [_UNSAID, *names, *gone]


def said_by(policy: str, threshold: float | None, strategy: str, preset: str) -> BaseAnswering:
    """What the base says from now on; empty is nothing, so that the settings hold."""
    return BaseAnswering.model_validate(
        {
            "when_nothing_found": policy or None,
            "sufficient_relevance": None if threshold is None else round(threshold, 4),
            "strategy": strategy or None,
            "preset": preset or None,
        }
    )
