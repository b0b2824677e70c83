"""Which models cannot run side by side, and that nobody pays for a control that is not used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.foundation.settings.tree import ServedModel
from services.supervisor.control.switchboard import want_the_same_gpu

ROOT = Path(__file__).resolve().parents[4]


def model(engine, gpus=None):
    return ServedModel(task="chat", engine=engine, gpus=gpus)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (model("echo"), model("echo"), False),
        (model("transformers", "0"), model("transformers", "0,1"), True),
        (model("transformers", "0"), model("vllm", "1"), False),
        (model("vllm"), model("vllm"), True),
        (model("vllm", "1"), model("vllm"), True),
        (model("vllm"), model("transformers"), False),
        (model("vllm", "10"), model("vllm", "1,0"), False),
    ],
)
def test_two_that_want_the_same_gpu(first, second, expected):
    assert want_the_same_gpu(first, second) is want_the_same_gpu(second, first) is expected


def test_a_supervisor_loads_no_web_server_until_somebody_calls():
    program = (
        "import sys\n"
        "import services.supervisor.supervisor\n"
        "assert not {'fastapi', 'starlette', 'uvicorn', 'sse_starlette'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)
