"""The supervisor with real child processes, and startup.py as a process. Children are small stand-in services."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from services.foundation.settings.tree import Logging
from services.supervisor.keeper import CannotStart, Policy, State
from tests.integration.stand_ins import QUICK, children, get, log_of, make, running

__all__ = ["make"]
ROOT = Path(__file__).resolve().parents[2]
RUNNER = """
import asyncio, json, signal, sys
from pathlib import Path
from services.foundation.settings.tree import Logging
from services.supervisor.keeper import Policy
from services.supervisor.plan import ProcessSpec
from services.supervisor.supervisor import Supervisor

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have them ignore it (nohup)

class Silent:
    def changed(self, status): pass
    def complete(self): print("complete", flush=True)
    def stopping(self): pass

plan = [ProcessSpec(**{**spec, "command": tuple(spec["command"]), "models": ()}) for spec in json.loads(sys.argv[1])]
asyncio.run(Supervisor(plan, Policy(stop_grace_seconds=2), Logging(folder=Path(sys.argv[2])), Silent()).run())
"""


async def test_everything_becomes_ready_and_ends(make, tmp_path):
    plan = [make("one", environment={"EXTRA": "added"}), make("two")]
    async with running(plan, tmp_path) as (recorder, _, _):
        await recorder.until(lambda: recorder.is_complete)
        assert recorder.states("one") == recorder.states("two") == [State.STARTING, State.READY]
    assert recorder.is_stopping
    assert "offline 1 extra added" in log_of(tmp_path, "one")
    assert "extra None" in log_of(tmp_path, "two")


async def test_an_optional_one_that_fails_is_degraded_and_tried_again_while_the_rest_serves(make, tmp_path):
    plan = [make("optional", "failing", required=False), make("needed")]
    async with running(plan, tmp_path) as (recorder, _, task):
        await recorder.until(lambda: recorder.is_complete and State.DEGRADED in recorder.states("optional"))
        assert "exit code 1" in recorder.reason("optional")
        while log_of(tmp_path, "optional").count("weights are missing") < 4:
            await asyncio.sleep(0.05)
        assert not task.done()
        assert recorder.states("needed") == [State.STARTING, State.READY]


async def test_a_service_that_calls_itself_degraded_counts_as_serving(make, tmp_path):
    async with running([make("one", "degraded")], tmp_path) as (recorder, _, _):
        await recorder.until(lambda: recorder.is_complete)
        assert recorder.states("one") == [State.STARTING, State.DEGRADED]
        assert recorder.reason("one") == "models: one is missing"


async def test_a_killed_child_is_back_quickly(make, tmp_path):
    plan = [make("one")]
    async with running(plan, tmp_path) as (recorder, _, _):
        await recorder.until(lambda: recorder.is_complete)
        began = time.monotonic()
        (child,) = children(plan)
        child.kill()
        await recorder.until(lambda: recorder.states("one")[1:] == [State.READY, State.RESTARTING, State.READY])
        assert time.monotonic() - began < 3
        assert "SIGKILL" in recorder.reason("one")
        assert children(plan)[0].pid != child.pid


async def test_an_exit_with_code_0_is_a_failure_too(make, tmp_path):
    plan = [make("one")]
    async with running(plan, tmp_path) as (recorder, _, _):
        await recorder.until(lambda: recorder.is_complete)
        get(plan[0], "/exit")
        await recorder.until(lambda: recorder.states("one").count(State.READY) == 2)
        assert recorder.reason("one") == "it ended with exit code 0"


async def test_one_that_lives_and_does_not_answer_is_replaced(make, tmp_path):
    plan = [make("one")]
    async with running(plan, tmp_path) as (recorder, _, _):
        await recorder.until(lambda: recorder.is_complete)
        get(plan[0], "/hang")
        await recorder.until(lambda: recorder.states("one").count(State.READY) == 2)
        assert "answered no health check" in recorder.reason("one")


async def test_one_that_was_ready_and_says_starting_is_left_alone(make, tmp_path):
    plan = [make("one")]
    async with running(plan, tmp_path) as (recorder, _, _):
        await recorder.until(lambda: recorder.is_complete)
        (child,) = children(plan)
        get(plan[0], "/begin-anew")  # for twice as long as it may be silent
        await recorder.until(lambda: recorder.states("one").count(State.READY) == 2)
        assert recorder.states("one") == [State.STARTING, State.READY, State.STARTING, State.READY]
        assert children(plan) == [child]


@pytest.mark.parametrize(
    ("habit", "reason"),
    [("failing", "exit code 1"), ("misconfigured", "exit code 2"), ("starting", "not ready within 2 seconds")],
)
async def test_a_required_one_that_cannot_start_ends_everything(make, tmp_path, habit, reason):
    plan = [make("good"), make("bad", habit)]
    policy = Policy(start_timeout_seconds=2 if habit == "starting" else 10, first_backoff_seconds=0.01)
    async with running(plan, tmp_path, policy) as (recorder, _, task):
        with pytest.raises(CannotStart) as failure:
            await task
        assert failure.value.spec.name == "bad"
        assert reason in str(failure.value)
        assert any("stand-in" in line or "weights" in line for line in failure.value.tail)
        assert State.FAILED in recorder.states("bad")
        assert children(plan) == []
    attempts = log_of(tmp_path, "bad").count("--- starting")
    assert attempts == (3 if habit == "failing" else 1)


async def test_a_command_that_does_not_exist_is_a_failure_with_a_reason(make, tmp_path):
    plan = [make("bad", command=("/no/such/program",)), make("good")]
    async with running(plan, tmp_path) as (_, _, task):
        with pytest.raises(CannotStart, match="cannot be executed"):
            await task


async def test_a_stubborn_child_and_its_own_child_are_killed_after_the_grace(make, tmp_path):
    plan = [make("one", "stubborn", "parent")]
    async with running(plan, tmp_path) as (recorder, supervisor, task):
        await recorder.until(lambda: recorder.is_complete)
        (grandchild,) = children(plan)[0].children()
        began = time.monotonic()
        supervisor.stop()
        await task
        assert 2 <= time.monotonic() - began < 5
        assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


async def test_a_second_request_to_stop_kills_at_once(make, tmp_path):
    plan = [make("one", "stubborn")]
    async with running(plan, tmp_path, Policy(stop_grace_seconds=60)) as (recorder, supervisor, task):
        await recorder.until(lambda: recorder.is_complete)
        supervisor.stop()
        await recorder.until(lambda: recorder.is_stopping)
        supervisor.stop()
        async with asyncio.timeout(5):
            await task


async def test_the_output_goes_into_rotated_files_and_long_lines_do_no_harm(make, tmp_path):
    talk = "for n in range(300): print(f'line {n} ' + 'x' * 100)\nprint('y' * 200_000)\nprint('end', end='')"
    plan = [make("talker", command=(sys.executable, "-c", talk), required=False), make("good")]
    kept = Logging(folder=tmp_path / "logs", file_bytes=10_000, files_kept=2)
    once = replace(QUICK, first_backoff_seconds=60, longest_backoff_seconds=60)
    async with running(plan, tmp_path, once, kept) as (recorder, _, _):
        await recorder.until(lambda: recorder.is_complete and State.DEGRADED in recorder.states("talker"))
    assert sorted(path.name for path in (tmp_path / "logs").glob("talker*")) == [
        *("talker.log", "talker.log.1", "talker.log.2")
    ]
    assert log_of(tmp_path, "talker").rstrip().endswith("end")


@contextmanager
def supervised(plan, folder):
    """A process of its own that runs the plan."""
    (folder / "runner.py").write_text(RUNNER, encoding="utf-8")
    fields = ("name", "command", "host", "port", "health_url", "required", "description", "port_setting")
    specs = json.dumps([{field: getattr(spec, field) for field in fields} for spec in plan])
    process = subprocess.Popen(
        [sys.executable, str(folder / "runner.py"), specs, str(folder / "logs")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # noqa: TID251
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "complete\n"
            yield process
        finally:
            process.kill()


def gone_within(seconds, processes):
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_supervisor_and_all_children(make, tmp_path, number):
    with supervised([make("one"), make("two", "stubborn", "parent")], tmp_path) as process:
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) == 4  # two, the child of one of them, and the guard
        process.send_signal(number)
        assert gone_within(10, family)
        assert process.wait(5) == 0


def test_a_killed_supervisor_leaves_nobody_behind(make, tmp_path):
    with supervised([make("one"), make("two", "stubborn", "parent")], tmp_path) as process:
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        assert gone_within(5, family)


def test_a_child_ends_with_the_supervisor_even_without_the_guard(make, tmp_path):
    with supervised([make("one")], tmp_path) as process:
        family = psutil.Process(process.pid).children()
        guard = next(child for child in family if "guard.py" in " ".join(child.cmdline()))
        guard.kill()
        process.kill()
        assert gone_within(3, family)


def startup(tmp_path, *arguments, **variables):
    return subprocess.run(
        [sys.executable, str(ROOT / "startup.py"), *arguments],
        env={
            **os.environ,  # noqa: TID251
            "CHATCHAT_SERVER__DATA_DIR": str(tmp_path / "kept"),
            "CHATCHAT_SERVER__LOGGING__FOLDER": str(tmp_path / "logs"),
            "CHATCHAT_SERVER__LANGUAGE": "en",
            **variables,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_port_in_use_is_refused_with_its_remedy(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = startup(tmp_path, "--api", CHATCHAT_SERVER__API__PORT=str(port))
    assert outcome.returncode == 2
    assert outcome.stderr == (
        f"Cannot start: port {port} of api (Chatchat API) is in use; stop the program that holds it, "
        "or change server.api.port (CHATCHAT_SERVER__API__PORT).\n"
    )


def test_bad_settings_are_refused(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "server.yaml").write_text("api: {port: 99999}\n", encoding="utf-8")
    outcome = startup(tmp_path, "-a", CHATCHAT_CONFIG_DIR=str(tmp_path / "configs"))
    assert outcome.returncode == 2
    assert "server.api.port" in outcome.stderr


def test_without_flags_the_configuration_and_the_help_are_shown(tmp_path):
    outcome = startup(tmp_path)
    assert outcome.returncode == 0
    assert "Chatchat configuration" in outcome.stdout
    assert "--all-webui" in outcome.stdout
