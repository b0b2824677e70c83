"""Law 5: importing a module does nothing. And: the doors stay thin, and the api stays light."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.sources import ROOT, module_names, product

API = "services.api.app"
HEAVY = {"torch", "transformers", "sentence_transformers", "fastchat", "streamlit", "vllm"}


def imported(names: list[str], folder: Path) -> dict[str, Any]:
    """Import `names` in a fresh interpreter that stands in `folder`; what the watch saw."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}  # noqa: TID251
    done = subprocess.run(
        [sys.executable, "-m", "tests.architecture.import_watch"],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    *said, last = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(last)
    return {**found, "said": said, "stderr": done.stderr}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("imports")
    return imported([API, *module_names("services", "webui")], folder), folder


def test_every_module_can_be_imported(everything: tuple[dict[str, Any], Path]):
    assert everything[0]["failures"] == []


def test_importing_has_no_effects(everything: tuple[dict[str, Any], Path]):
    found, folder = everything
    assert found["effects"] == []
    assert found["said"] == []
    assert list(folder.iterdir()) == []


def test_importing_warns_of_nothing(everything: tuple[dict[str, Any], Path]):
    assert everything[0]["stderr"] == ""


def test_the_api_never_imports_what_is_heavy(everything: tuple[dict[str, Any], Path]):
    assert HEAVY & set(everything[0]["loaded_first"]) == set()


DOORS = {
    "startup.py": (80, ("services.supervisor", "services.foundation")),
    "init_database.py": (
        100,
        (
            "services.supervisor",
            "services.foundation",
            "services.api.bootstrap",
            "services.api.parts",
            "services.api.domain",
            "services.api.knowledge",
        ),
    ),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_door_stays_thin(door: str):
    limit, allowed = DOORS[door]
    source = next(source for source in product() if source.path == door)
    assert source.lines <= limit
    taken = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom):
            taken |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            taken |= {alias.name for alias in node.names}
    ours = {name for name in taken if name.partition(".")[0] in {"services", "webui", "tests"}}
    assert {name for name in ours if not f"{name}.".startswith(tuple(f"{room}." for room in allowed))} == set()
