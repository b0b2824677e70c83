"""Templates: strict about variables, sandboxed, in languages, an operator's own first, read again when they change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from services.api.chat.prompts import FilePrompts
from services.foundation.errors import InvalidPrompt, PromptNotFound

Write = Callable[[str], FilePrompts]
ZH, EN = "zh-CN", "en"


def put(folder: Path, use: str = "use", **templates: str | tuple[list[str], str]) -> Path:
    """A prompt file in a folder, which is made if need be; a template may come with its variables."""
    folder.mkdir(exist_ok=True)
    entries = {}
    for name, written in templates.items():
        variables, template = ([], written) if isinstance(written, str) else written
        entries[name] = {"variables": variables, "template": template}
    (folder / f"{use}.yaml").write_text(yaml.safe_dump(entries), "utf-8")
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(template: str) -> FilePrompts:
        return FilePrompts(put(tmp_path, default=(["question"], template)))

    return _write


def render(prompts: FilePrompts, value: str = "x") -> str:
    return prompts.render("use", "default", {"question": value}, ZH)


# ---- variables ----


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
        "{{ question }}{{ context }}",
        "{{ question.__class__ }}",
        "{{ question }}{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ question.nothing }}",
        "{{ question }}{{ self.__init__.__globals__ }}",
        "{{ question ",
        "{% if %}",
        "{{ question + 1 }}",
        "{{ question }}{{ 1 / 0 }}",
        "{{ question }}{% include 'other.yaml' %}",
    ],
)
def test_a_template_that_cannot_be_rendered_is_named_when_it_is_loaded(write: Write, template: str):
    with pytest.raises(InvalidPrompt) as caught:
        write(template).check()
    assert (caught.value.facts["use"], caught.value.facts["name"]) == ("use", "default")


def test_a_template_that_fails_for_some_values_is_named_then(write: Write):
    prompts = write("{% if question == '0' %}{{ 1 // 0 }}{% endif %}")
    assert render(prompts) == ""
    with pytest.raises(InvalidPrompt, match="zero"):
        render(prompts, "0")


def test_a_variable_that_was_declared_must_be_given(write: Write):
    with pytest.raises(InvalidPrompt, match="no value for question"):
        write("{{ question }}").render("use", "default", {}, ZH)


def test_a_variable_must_be_declared_to_be_used(write: Write):
    with pytest.raises(InvalidPrompt, match="context is used but not declared"):
        write("{{ question }} {{ context }}").check()


def test_a_variable_must_be_used_to_be_declared(write: Write):
    with pytest.raises(InvalidPrompt, match="question is declared but not used"):
        write("{{ questoin }}").names("use")


def test_a_value_that_is_not_declared_is_not_passed(write: Write):
    assert write("{{ question }}").render("use", "default", {"question": "x", "context": "y"}, EN) == "x"


# ---- languages ----


def test_a_prompt_is_in_the_language_of_the_question(tmp_path: Path):
    prompts = FilePrompts(put(tmp_path, **{"default.zh-CN": "中", "default.en": "E", "default": "?"}))
    assert [prompts.render("use", "default", {}, language) for language in (ZH, EN)] == ["中", "E"]
    assert prompts.template("use", "default", EN) == "E"
    assert prompts.names("use") == ["default"]


@pytest.mark.parametrize("name", ["mine", "mine.zh-CN", "mine.en"])
def test_a_prompt_in_one_language_is_for_all_questions(tmp_path: Path, name: str):
    prompts = FilePrompts(put(tmp_path, **{name: "x"}))
    assert [prompts.render("use", "mine", {}, language) for language in (ZH, EN)] == ["x", "x"]
    assert prompts.names("use") == ["mine"]


def test_a_name_may_have_dots_and_name_its_language(tmp_path: Path):
    prompts = FilePrompts(put(tmp_path, **{"v1.2": "x", "two.zh-CN": "中", "two.en": "E"}))
    assert prompts.names("use") == ["two", "v1.2"]
    assert prompts.render("use", "v1.2", {}, EN) == "x"
    assert prompts.render("use", "two.zh-CN", {}, EN) == "中"


def test_names_are_told_apart_without_case_and_spaces(tmp_path: Path):
    prompts = FilePrompts(put(tmp_path, **{"with_history.zh-CN": "中", "ChatGLM3.en": "E"}))
    assert prompts.render("use", "With History", {}, ZH) == "中"
    assert prompts.render("use", "chatglm3", {}, EN) == "E"
    put(tmp_path, **{"A b": "x", "a_b": "y"})
    with pytest.raises(InvalidPrompt, match="another entry of the file has that name"):
        FilePrompts(tmp_path).check()


# ---- folders ----


def test_an_operators_own_stand_before_the_shipped_ones(tmp_path: Path):
    shipped = put(tmp_path / "shipped", **{"default.zh-CN": "中", "default.en": "E", "text.en": "T"})
    own = put(tmp_path / "own", default="own", mine="mine")
    put(shipped, "other", default="other")
    prompts = FilePrompts(own, shipped)
    said = [prompts.render("use", name, {}, language) for name in ("default", "mine", "text") for language in (ZH, EN)]
    assert said == ["own", "own", "mine", "mine", "T", "T"]
    assert prompts.render("other", "default", {}, ZH) == "other"
    assert prompts.names("use") == ["default", "mine", "text"]


def test_an_own_prompt_in_one_language_leaves_the_others_as_shipped(tmp_path: Path):
    shipped = put(tmp_path / "shipped", **{"default.zh-CN": "中", "default.en": "E"})
    prompts = FilePrompts(put(tmp_path / "own", **{"default.en": "own"}), shipped)
    assert [prompts.render("use", "default", {}, language) for language in (ZH, EN)] == ["中", "own"]


def test_a_folder_that_is_not_there_holds_none(tmp_path: Path):
    prompts = FilePrompts(tmp_path / "none", put(tmp_path / "shipped", default="x"))
    prompts.check()
    assert prompts.render("use", "default", {}, ZH) == "x"


def test_an_own_prompt_declares_what_its_use_is_given(tmp_path: Path):
    shipped = put(tmp_path / "shipped", default=(["question"], "{{ question }}"))
    own = put(tmp_path / "own", mine=(["history", "question"], "{{ history }}{{ question }}"))
    with pytest.raises(InvalidPrompt, match="history is not given to this use"):
        FilePrompts(own, shipped).check()


def test_a_use_of_the_operators_own_is_not_held_to_anything(tmp_path: Path):
    own = put(tmp_path / "own", mine=(["a"], "{{ a }}"))
    prompts = FilePrompts(own, put(tmp_path / "shipped", "other", default="x"))
    prompts.check()
    assert prompts.render("use", "mine", {"a": "1"}, ZH) == "1"


def test_the_same_folder_twice_is_one(tmp_path: Path):
    put(tmp_path, default=(["a"], "{{ a }}"))
    FilePrompts(tmp_path, tmp_path / "." / "").check()


# ---- files ----


def test_unknown_name_and_use_list_the_known_ones(tmp_path: Path):
    prompts = FilePrompts(put(tmp_path / "own", mine="x"), put(tmp_path / "shipped", "more", default="x"))
    with pytest.raises(PromptNotFound) as name:
        prompts.render("use", "other", {}, ZH)
    assert name.value.facts == {"use": "use", "name": "other", "known": "mine"}
    with pytest.raises(PromptNotFound) as use:
        prompts.template("nothing", "default", ZH)
    assert use.value.facts["known"] == "more, use"


def test_a_changed_file_is_read_again(write: Write, tmp_path: Path):
    prompts = write("one {{ question }}")
    assert render(prompts) == "one x"
    write("two {{ question }}")
    os.utime(tmp_path / "use.yaml", ns=(1, 1))
    assert render(prompts) == "two x"
    write("{{ broken")
    with pytest.raises(InvalidPrompt):
        render(prompts)


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
