"""One line a record, in one format, on stderr."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from services.foundation import logs


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in (*logs._QUIET, "uvicorn.access")}
    propagating = {name: logging.getLogger(name).propagate for name in ("uvicorn", "uvicorn.error", "uvicorn.access")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)
    for name, propagate in propagating.items():
        logging.getLogger(name).propagate = propagate


def test_a_record_is_one_line_with_time_level_service_and_logger(capsys: pytest.CaptureFixture[str]):
    logs.configure("gateway")
    logging.getLogger("services.gateway.relay").warning("model %s is gone", "gpt")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING gateway services.gateway.relay: model gpt is gone\n",
        captured.err,
    )


@pytest.mark.parametrize("text", ["a\nb", "a\r\nINFO forged", "a\rb", "a\x1b[31mred", "a\u2028b", "a\x0cb"])
def test_a_message_cannot_forge_a_line(capsys: pytest.CaptureFixture[str], text: str):
    logs.configure("api")
    logging.getLogger("x").warning("path %s", text)
    written = capsys.readouterr().err
    assert len(written.splitlines()) == 1
    assert "\x1b" not in written


def test_chinese_stays_readable(capsys: pytest.CaptureFixture[str]):
    logs.configure("api")
    logging.getLogger("x").warning("未找到知识库 手册")
    assert "未找到知识库 手册" in capsys.readouterr().err


def test_a_trace_follows_its_line(capsys: pytest.CaptureFixture[str]):
    logs.configure("api")
    try:
        int("boom")
    except ValueError:
        logging.getLogger("x").exception("it failed")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("x: it failed")
    assert lines[-1] == "ValueError: invalid literal for int() with base 10: 'boom'"


def test_levels(capsys: pytest.CaptureFixture[str]):
    logs.configure("api", "WARNING")
    logging.getLogger("x").info("unseen")
    logging.getLogger("httpx").info("unseen")
    assert capsys.readouterr().err == ""
    logs.configure("api", "DEBUG")
    logging.getLogger("x").debug("seen")
    logging.getLogger("httpx").info("unseen")
    assert capsys.readouterr().err.splitlines()[0].endswith("seen")


def test_configuring_twice_writes_once(capsys: pytest.CaptureFixture[str]):
    logs.configure("api")
    logs.configure("api")
    logging.getLogger("uvicorn.error").warning("once")
    assert len(capsys.readouterr().err.splitlines()) == 1
