"""The sidebar's expander for those who want more: further bases, preset, passages, temperature, strategy, memory."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from services.wire.chatchat import AnsweringOptions, KnowledgeBaseDetails, PresetBody
from webui.asking import (
    TEMPERATURE_LIMIT,
    TOP_K_LIMIT,
    Wishes,
    first_temperature,
    first_top_k,
    options_of,
    own_preset,
    turns_for,
    unless_same,
)
from webui.components.failures import boundary
from webui.i18n import Texts
from webui.markdown import plain
from webui.page import Page
from webui.state import keep_choice, keep_choices

MORE_BASES_LIMIT = 20
_NO_PRESET = ""


def show_answering_settings(
    base: KnowledgeBaseDetails | None, others: Sequence[str], page: Page, *, grounded: bool
) -> Wishes:
    """Draw the expander for a question to a base, if one is asked.

    Args:
        base: which is asked.
        others: bases that can be read as well.
        page: the page.
        grounded: passages are read, of a base or of files; else the model is asked alone.
    """
    texts = page.texts
    options: AnsweringOptions | None = None
    with boundary(texts):
        options = options_of(page.client.answering_options(), base)
    own = None
    if options is not None:
        own = own_preset(options, base)
        _begin(options, own)
    with st.expander(plain(texts("settings.more"))):
        more_bases = choose_more_bases("chat-more-bases", others, page)
        preset = _preset(options, own, texts)
        top_k = _top_k(preset, options, texts) if grounded else None
        temperature = _temperature(preset, texts)
        if options is None:
            return Wishes(top_k=top_k, temperature=temperature, more_bases=more_bases)
        strategy = _named("strategy", options.strategies, options.strategy, texts) if grounded else None
        policy = _named("policy", options.policies, options.when_nothing_found, texts) if grounded else None
        memory = _named("memory", options.memories, options.memory, texts)
    return Wishes(
        preset=preset.name if preset and preset != own else None,
        top_k=top_k,
        temperature=temperature,
        strategy=strategy,
        when_nothing_found=policy,
        memory=memory,
        more_bases=more_bases,
        history_turns=turns_for(preset, memory or options.memory),
    )


def choose_more_bases(key: str, others: Sequence[str], page: Page) -> tuple[str, ...]:
    """Draw the choice of further knowledge bases, where there are any."""
    if not others:
        return ()
    texts = page.texts
    keep_choices(key, others)
    chosen = st.multiselect(
        plain(texts("settings.more_bases")),
        others,
        key=key,
        max_selections=MORE_BASES_LIMIT,
        placeholder=texts("settings.more_bases_none"),
        select_all=False,
        help=plain(texts("settings.more_bases_help")),
        persist_state="session",
    )
    return tuple(chosen)


def _begin(options: AnsweringOptions, own: PresetBody | None) -> None:
    """Where something else holds than before, because another base is asked, begin with that."""
    holds = (options.strategy, options.when_nothing_found, own.name if own else _NO_PRESET)
    if st.session_state.get("answering-holds") != holds:
        st.session_state["answering-holds"] = holds
        st.session_state["strategy"], st.session_state["policy"], st.session_state["preset"] = holds
        _follow(own, options)


def _follow(preset: PresetBody | None, options: AnsweringOptions | None) -> None:
    """The sliders show what the preset says; they may be moved from there."""
    st.session_state["top_k"] = first_top_k(preset, options)
    st.session_state["temperature"] = first_temperature(preset)


def _preset(options: AnsweringOptions | None, own: PresetBody | None, texts: Texts) -> PresetBody | None:
    presets = {preset.name: preset for preset in options.presets} if options else {}
    if not presets:
        return None

    def label(name: str) -> str:
        word = texts("settings.no_preset") if name == _NO_PRESET else word_of("preset", name, texts)
        return texts("settings.default", choice=word) if own is not None and name == own.name else word

    # No question can undo what its base says: it can only name another preset.
    first = _NO_PRESET if own is None else own.name
    names = [first, *(name for name in presets if name != first)]
    keep_choice("preset", names, first)
    chosen = st.selectbox(
        plain(texts("settings.preset")),
        names,
        format_func=label,
        key="preset",
        on_change=lambda: _follow(presets.get(st.session_state["preset"]), options),
        help=plain(texts("settings.preset_help")),
        persist_state="session",
    )
    preset = presets.get(chosen or _NO_PRESET)
    if preset is not None:
        st.caption(plain(preset_words(preset, texts)))
    return preset


def preset_words(preset: PresetBody, texts: Texts) -> str:
    """What a preset sets, beside the sliders that show their part of it."""
    turns, penalty = preset.history_turns, preset.repetition_penalty
    said = []
    if turns is not None:
        said.append(texts("preset.turns", count=turns) if turns else texts("preset.no_turns"))
    if penalty is not None:
        said.append(texts("preset.penalty", penalty=penalty))
    return " · ".join(said)


def _top_k(preset: PresetBody | None, options: AnsweringOptions | None, texts: Texts) -> int | None:
    first = first_top_k(preset, options)
    st.session_state.setdefault("top_k", first)
    chosen = st.slider(plain(texts("settings.top_k")), 1, TOP_K_LIMIT, key="top_k", persist_state="session")
    return unless_same(int(chosen), preset.top_k if preset else None, first)


def _temperature(preset: PresetBody | None, texts: Texts) -> float | None:
    first = first_temperature(preset)
    st.session_state.setdefault("temperature", first)
    chosen = st.slider(
        plain(texts("settings.temperature")),
        0.0,
        TEMPERATURE_LIMIT,
        step=0.05,
        help=plain(texts("settings.temperature_help")),
        key="temperature",
        persist_state="session",
    )
    return unless_same(float(chosen), preset.temperature if preset else None, first)


def _named(kind: str, names: Sequence[str], default: str, texts: Texts) -> str | None:
    """A choice by name; None where it is what holds anyway."""

    def label(name: str) -> str:
        word = word_of(kind, name, texts)
        return texts("settings.default", choice=word) if name == default else word

    keep_choice(kind, names, default)
    chosen = st.selectbox(
        plain(texts(f"settings.{kind}")),
        sorted(names, key=lambda name: name != default),
        format_func=label,
        key=kind,
        help=plain(texts(f"settings.{kind}_help")),
        persist_state="session",
    )
    return None if chosen == default else chosen


def word_of(kind: str, name: str, texts: Texts) -> str:
    """What a person calls it; a name we do not know stands for itself."""
    key = f"{kind}.{name}"
    return texts(key) if key in texts else name
