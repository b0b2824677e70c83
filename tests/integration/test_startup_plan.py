"""`python startup.py --plan` as a person calls it: real settings, real files, this machine; nothing is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.tiny_models import make_chat_model, make_embedding_model
from tests.unit.supervisor.sizing.making import QWEN25_72B, write_model

ROOT = Path(__file__).resolve().parents[2]
TINY_BYTES = 820_864 * 2
"""Parameters of the tiny chat model in 16 bits."""


def plan(folder: Path, *flags: str, **variables: str) -> tuple[int, str, str]:
    """Exit code, what was printed, what was complained of; logs and data would lie in `folder`."""
    environment = {
        **os.environ,  # noqa: TID251 - a child process is given its environment
        "CHATCHAT_SERVER__LOGGING__FOLDER": str(folder / "logs"),
        "CHATCHAT_SERVER__DATA_DIR": str(folder / "kept"),
        "CHATCHAT_SERVER__LANGUAGE": "en",
        **variables,
    }
    command = [sys.executable, str(ROOT / "startup.py"), "--plan", *flags]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False, cwd=folder
    )
    return done.returncode, done.stdout, done.stderr


def configured(folder: Path, served: dict[str, object]) -> dict[str, str]:
    """The shipped settings with other models."""
    shipped = yaml.safe_load((ROOT / "configs" / "models.yaml").read_text(encoding="utf-8"))
    models = {**shipped, "served": {**shipped["served"], **served}, "model_dir": str(folder / "model")}
    (folder / "configs").mkdir()
    (folder / "configs" / "models.yaml").write_text(yaml.safe_dump(models), encoding="utf-8")
    return {"CHATCHAT_CONFIG_DIR": str(folder / "configs")}


@pytest.mark.parametrize(
    ("language", "title", "verdict"),
    [
        ("en", "What fits on this machine (nothing is started)", "Verdict: everything fits."),
        ("zh-CN", "本机的容量规划（不启动任何服务）", "结论：全部放得下。"),
    ],
)
def test_the_shipped_settings_fit(tmp_path, language, title, verdict):
    code, printed, complained = plan(tmp_path, CHATCHAT_SERVER__LANGUAGE=language)
    lines = printed.splitlines()
    assert (code, complained) == (0, "")
    assert (lines[0], lines[-1]) == (title, verdict)
    assert any(line.startswith("all-minilm-l6-v2 ") and "GiB" in line for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_real_models_and_one_that_no_machine_holds(tmp_path):
    make_chat_model(tmp_path / "model" / "tiny")
    make_embedding_model(tmp_path / "model" / "embedder")
    write_model(tmp_path / "model" / "huge", {**QWEN25_72B, "num_hidden_layers": 2000})
    variables = configured(
        tmp_path,
        {
            "tiny": {
                "task": "chat",
                "engine": "transformers",
                "context_tokens": 1024,
                "options": {"path": "tiny", "device": "cpu", "dtype": "bfloat16"},
            },
            "embedder": {
                "task": "embedding",
                "engine": "sentence_transformers",
                "options": {"path": "embedder", "device": "cpu"},
            },
            "huge": {"task": "chat", "engine": "transformers", "options": {"path": "huge", "device": "cpu"}},
        },
    )
    code, printed, _ = plan(tmp_path, "-m", "-n", "tiny", "embedder", **variables)
    assert code == 0
    row = next(line.split() for line in printed.splitlines() if line.startswith("tiny "))
    assert row[:6] == [
        "tiny",
        "CPU",
        f"{TINY_BYTES / 2**30:.2f}",
        "GiB",
        "0.5",
        "KiB",
    ]  # 2 layers x 2 x 1 head x 64 x 2
    assert row[-2:] == ["1024", "1"]
    assert "embedder: fits (weights measured from the files)." in printed
    code, printed, _ = plan(tmp_path, **variables)
    assert code == 1
    assert "huge: does not fit" in printed
    assert "use a smaller model, or add memory" in printed
    started = subprocess.run(
        [sys.executable, str(ROOT / "startup.py"), "-m", "-n", "huge"],
        env={**os.environ, **variables, "CHATCHAT_SERVER__LANGUAGE": "en"},  # noqa: TID251 - a child's environment
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert started.returncode == 2
    assert "Cannot start: huge need" in started.stderr


def test_an_unknown_model_is_no_plan(tmp_path):
    code, printed, complained = plan(tmp_path, "-n", "nope")
    assert (code, printed) == (2, "")
    assert "-n names the model nope, which is not configured" in complained
