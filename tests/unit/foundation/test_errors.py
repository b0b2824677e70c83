"""Every failure: a code of its own, a kind, an English and a Chinese sentence, and a way back from the wire."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from services.foundation import errors
from services.foundation.errors import ChatchatError, InvalidName, Kind, UnknownModel, error_from
from services.foundation.http import sentence
from tests.unit.foundation.samples import CLASSES, placeholders, sample

CHINESE: dict[str, str] = yaml.safe_load(
    Path(errors.__file__).with_name("messages.zh_CN.yaml").read_text(encoding="utf-8")
)
each_class = pytest.mark.parametrize("error_class", CLASSES, ids=lambda found: found.__name__)


def test_codes_are_unique():
    codes = [found.code for found in CLASSES]
    assert len(codes) == len(set(codes))


@each_class
def test_declares_its_own_code_and_a_kind(error_class: type[ChatchatError]):
    assert "code" in vars(error_class)
    assert "sentence" in vars(error_class)
    assert isinstance(error_class.kind, Kind)


@each_class
def test_says_every_fact_in_english(error_class: type[ChatchatError]):
    error = sample(error_class)
    assert all(str(fact) in str(error) for fact in error.facts.values())
    assert "<" not in str(error).replace("<key>", "")  # nothing left unfilled; <key> stands in a sentence on purpose


@each_class
def test_says_the_same_facts_in_chinese(error_class: type[ChatchatError]):
    assert placeholders(CHINESE[error_class.code]) == placeholders(error_class.sentence)
    said = sentence(sample(error_class), "zh-CN")
    assert any("\u4e00" <= char <= "\u9fff" for char in said)
    assert all(str(fact) in said for fact in sample(error_class).facts.values())


def test_no_chinese_sentence_is_left_over():
    assert set(CHINESE) == {found.code for found in CLASSES}


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    drawn = []
    for line in (errors.__doc__ or "").splitlines():
        words = line.replace("│", " ").replace("├──", " ").replace("└──", " ").split()
        if len(words) == 3 and words[2] in Kind.__members__:
            drawn.append((words[0], words[1], words[2]))
    assert sorted(drawn) == sorted((found.__name__, found.code, found.kind.name) for found in CLASSES)


@each_class
def test_comes_back_from_code_and_facts(error_class: type[ChatchatError]):
    error = sample(error_class)
    rebuilt = error_from(error.code, error.facts)
    assert type(rebuilt) is error_class
    assert rebuilt.facts == error.facts
    assert str(rebuilt) == str(error)


def test_an_unknown_code_comes_back_as_the_root_and_names_it():
    rebuilt = error_from("from.the_future", {"what": "x"})
    assert type(rebuilt) is ChatchatError
    assert "from.the_future" in str(rebuilt)


def test_a_missing_fact_shows_its_name():
    assert str(UnknownModel(model="gpt")) == "The model 'gpt' does not exist here. Known models: <known>."


def test_a_fact_is_never_read_as_a_template():
    assert "{0.__class__}" in str(InvalidName(what="x", name="{0.__class__}", reason="r"))


@pytest.mark.parametrize("name", ["self", "facts", "code", "args"])
def test_facts_off_the_wire_may_have_any_name(name: str):
    assert error_from("model.unknown", {name: "x"}).facts == {name: "x"}


def test_an_unknown_language_falls_to_english():
    assert sentence(UnknownModel(model="m", known=""), "fr") == str(UnknownModel(model="m", known=""))
