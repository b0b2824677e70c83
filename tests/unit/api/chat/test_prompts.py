"""Templates: strict about variables, sandboxed, read again when they change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from services.api.chat.prompts import FilePrompts
from services.foundation.errors import InvalidPrompt, PromptNotFound

SHIPPED = Path(__file__).resolve().parents[4] / "configs" / "prompts"
Write = Callable[[str], FilePrompts]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(template: str, variables: str = "[question]") -> FilePrompts:
        (tmp_path / "use.yaml").write_text(
            yaml.safe_dump({"default": {"variables": yaml.safe_load(variables), "template": template}}), "utf-8"
        )
        return FilePrompts(tmp_path)

    return _write


def render(prompts: FilePrompts, value: str = "x") -> str:
    return prompts.render("use", "default", {"question": value})


def test_fills_in_what_is_given(write: Write):
    assert render(write("问题：{{ question }}\n"), "端口是多少？") == "问题：端口是多少？"


@pytest.mark.parametrize(
    "value", ["{{7*7}}", "{% for x in [1] %}x{% endfor %}", "{{ question }}", "{# x #}", "<b>&</b>", "{question}", "%s"]
)
def test_a_value_is_never_a_template(write: Write, value: str):
    assert render(write("{{ question }}"), value) == value


@pytest.mark.parametrize(
    "template",
    [
        "{{ context }}",
        "{{ question.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ question.nothing }}",
        "{{ self.__init__.__globals__ }}",
        "{{ question ",
        "{% if %}",
        "{{ question + 1 }}",
        "{{ 1 / 0 }}",
        "{% include 'other.yaml' %}",
    ],
)
def test_a_template_that_cannot_be_rendered_is_named(write: Write, template: str):
    with pytest.raises(InvalidPrompt) as caught:
        render(write(template))
    assert (caught.value.facts["use"], caught.value.facts["name"]) == ("use", "default")


def test_a_variable_that_was_declared_must_be_given(write: Write):
    with pytest.raises(InvalidPrompt, match="no value for question"):
        write("x").render("use", "default", {})


def test_a_variable_that_was_not_declared_is_not_passed(write: Write):
    with pytest.raises(InvalidPrompt, match="context"):
        write("{{ context }}").render("use", "default", {"question": "x", "context": "y"})


def test_unknown_name_and_use_list_the_known_ones(write: Write):
    prompts = write("x")
    with pytest.raises(PromptNotFound) as name:
        prompts.render("use", "other", {})
    assert name.value.facts == {"use": "use", "name": "other", "known": "default"}
    with pytest.raises(PromptNotFound) as use:
        prompts.render("nothing", "default", {})
    assert use.value.facts["known"] == "use"


def test_a_changed_file_is_read_again(write: Write, tmp_path: Path):
    prompts = write("one")
    assert render(prompts) == "one"
    write("two")
    os.utime(tmp_path / "use.yaml", ns=(1, 1))
    assert render(prompts) == "two"
    write("{{ broken")
    with pytest.raises(InvalidPrompt):
        render(prompts)


def test_names_are_listed_in_order(tmp_path: Path):
    entry = {"variables": [], "template": "x"}
    (tmp_path / "use.yaml").write_text(yaml.safe_dump({"b": entry, "a": entry}))
    assert FilePrompts(tmp_path).names("use") == ["a", "b"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"- x",
        b"default: text",
        b"default: {template: x}",
        b"default: {variables: [], template: x, more: 1}",
        b"default: [",
        "default: {variables: [], template: 问}".encode("gbk"),
    ],
)
def test_a_file_that_is_no_prompt_file_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "use.yaml").write_bytes(content)
    with pytest.raises(InvalidPrompt, match=r"use\.yaml"):
        FilePrompts(tmp_path).names("use")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_prompt_renders_and_uses_what_it_declares(path: Path):
    prompts = FilePrompts(SHIPPED)
    for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        values = {variable: f"<{variable}>" for variable in entry["variables"]}
        shown = prompts.render(path.stem, name, values)
        assert all(value in shown for value in values.values())


def test_the_names_of_0_2_10_are_there():
    prompts = FilePrompts(SHIPPED)
    assert "default" in prompts.names("llm_chat")
    assert {"default", "text", "empty"} <= set(prompts.names("knowledge_base_chat"))
