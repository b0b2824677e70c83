"""What is shown: everything of use, no secret."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from services.foundation import VERSION
from services.foundation.settings.tree import Models, ServedModel, Server, Settings
from services.supervisor.display import Display, Subject
from services.supervisor.flags import parse
from services.supervisor.keeper import CannotStart, State, Status
from services.supervisor.messages import sentence
from services.supervisor.plan import build_plan

ROOT = Path(__file__).resolve().parents[3]
MODELS = Models(
    default_chat="far",
    default_embedding="near",
    served={
        "far": ServedModel(
            task="chat",
            engine="openai_compatible",
            remote=True,
            options={"base_url": "https://user:hunter2@host:8/v1?token=hunter3", "api_key": "sk-hunter4"},
        ),
        "near": ServedModel(task="embedding", engine="sentence_transformers", options={"path": "bge-m3"}),
    },
)


def shown_by(*arguments, language="en", is_terminal=False):
    settings = Settings(server=Server(language=language), models=MODELS)
    flags = parse(arguments)
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=120)
    return Display(Subject(ROOT, settings, flags, build_plan(settings, flags)), console), console.file


def statuses(display, **state):
    return [Status(spec, **state) for spec in display._subject.plan]


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_the_banner_shows_the_configuration_without_its_secrets(language):
    display, out = shown_by("-a", language=language)
    display.banner(with_services=False)
    text = out.getvalue()
    assert f"v{VERSION}" in text
    assert "https://host:8/v1" in text
    assert "bge-m3" in text
    assert "hunter" not in text
    assert "8501" not in text


def test_services_are_listed_when_they_serve_and_only_those_that_were_asked_for():
    display, out = shown_by("--all-api")
    display.complete()
    text = out.getvalue()
    assert "http://127.0.0.1:20000/v1" in text
    assert "http://127.0.0.1:7861" in text
    assert "8501" not in text


def test_the_last_line_says_where_to_go_and_how_to_stop():
    display, out = shown_by("-a", language="zh-CN")
    display.complete()
    last = out.getvalue().splitlines()[-1]
    assert "http://127.0.0.1:8501" in last
    assert "Ctrl+C" in last


def test_without_a_terminal_every_change_is_one_line():
    display, out = shown_by("-o")
    display.open()
    for status in statuses(display, state=State.RESTARTING, reason=sentence("reason.killed", signal="SIGKILL")):
        display.changed(status)
    assert "controller: restarting (it was ended by SIGKILL)" in out.getvalue()
    assert len(out.getvalue().splitlines()) == 3


def test_on_a_terminal_the_table_is_left_behind_when_all_is_ready():
    display, out = shown_by("-o", is_terminal=True)
    display.open()
    for status in statuses(display, state=State.READY):
        display.changed(status)
    display.complete()
    assert "FastChat controller" in out.getvalue()
    display.changed(statuses(display, state=State.RESTARTING, reason=sentence("reason.exited", code=0))[0])
    assert out.getvalue().rstrip().endswith("controller: restarting (it ended with exit code 0)")


def test_an_optional_process_that_does_not_serve_is_named():
    display, out = shown_by("-p", "-o")
    for status in statuses(display, state=State.STARTING):
        display.changed(status)
    display.complete()
    assert "Optional and not ready: worker-far." in out.getvalue()


def test_a_failed_start_shows_the_last_lines_and_one_sentence():
    display, out = shown_by("-o")
    spec = display._subject.plan[0]
    display.failed(CannotStart(spec, sentence("reason.exited", code=3), ["first [bold]", "last"]))
    *_, one, two, final = out.getvalue().splitlines()
    assert (one, two) == ("  | first [bold]", "  | last")
    assert "controller (FastChat controller) cannot be started: it ended with exit code 3." in final
    assert "controller.log" in final
