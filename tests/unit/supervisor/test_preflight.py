"""What is found out before anything is started."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from services.foundation.settings.tree import Logging, Models, ServedModel, Server, Settings
from services.supervisor.flags import parse
from services.supervisor.plan import ProcessSpec
from services.supervisor.preflight import Machine, find_problems, prepare


@pytest.fixture
def server(tmp_path):
    return Server(data_dir=tmp_path / "kept", logging=Logging(folder=tmp_path / "logs"))


def worker(*models, port=0):
    return ProcessSpec(
        name="worker",
        command=("true",),
        host="127.0.0.1",
        port=port,
        health_url="",
        required=True,
        description="",
        port_setting="server.worker.port",
        models=models,
    )


class FakeMachine(Machine):
    """Refuses some ports, each in its way, and has only so much space."""

    def __init__(self, refused=None, space_bytes=10**12):
        self._refused = refused or {}
        self._space_bytes = space_bytes

    def bind(self, host, port):
        if port in self._refused:
            raise self._refused[port]

    def free_bytes(self, folder):
        return self._space_bytes


def problems(settings, plan, machine=None, language="en"):
    return [problem.render(language) for problem in find_problems(settings, plan, machine or FakeMachine())]


def serving(server, tmp_path, **options):
    served = {
        "m": ServedModel(task="chat", engine="x", **options),
        "e": ServedModel(task="embedding", engine="x"),
    }
    models = Models(default_chat="m", default_embedding="e", served=served, model_dir=tmp_path)
    return Settings(server=server, models=models)


@pytest.mark.parametrize("place", ["absent", "org/absent", "/absent/folder"])
def test_a_missing_model_folder(server, tmp_path, place):
    (problem,) = problems(serving(server, tmp_path, options={"path": place}), [worker("m")])
    assert "the folder /" in problem
    assert place in problem
    assert "models.served.m.options.path" in problem


@pytest.mark.parametrize(
    "options",
    [
        {"options": {"path": "present"}},
        {"options": {"path": "package:yaml"}},
        {"options": {}},
        {"options": {"path": "absent"}, "optional": True},
        {"options": {"path": "absent"}, "remote": True},
    ],
)
def test_models_that_may_start(server, tmp_path, options):
    (tmp_path / "present").mkdir()
    assert problems(serving(server, tmp_path, **options), [worker("m")]) == []


@pytest.mark.parametrize("package", ["no_such_package", "no.such", "../up", ""])
def test_a_missing_package(server, tmp_path, package):
    (problem,) = problems(serving(server, tmp_path, options={"path": f"package:{package}"}), [worker("m")])
    assert f"the Python package {package}, which is not installed" in problem


def test_two_processes_at_one_port(server):
    (problem,) = problems(Settings(server=server), [worker(), replace(worker(), name="api")])
    assert "worker, api" in problem
    assert "CHATCHAT_SERVER__WORKER__PORT" in problem


def test_a_folder_that_cannot_be_written_is_named_with_its_setting(server, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    settings = Settings(server=server.model_copy(update={"data_dir": blocked / "kept"}))
    (problem,) = problems(settings, [worker()])
    assert str(blocked / "kept") in problem
    assert "CHATCHAT_SERVER__DATA_DIR" in problem


def test_a_full_disk_is_named_for_both_folders(server):
    found = problems(Settings(server=server), [worker()], FakeMachine(space_bytes=70_000_000))
    assert len(found) == 2
    assert all("70 MB left and 500 MB are needed" in problem for problem in found)


def test_a_port_in_use_is_named_with_its_process_and_setting(server):
    machine = FakeMachine({7: OSError(errno.EADDRINUSE, "in use")})
    (problem,) = problems(Settings(server=server), [worker(port=7), replace(worker(port=8), name="api")], machine)
    assert problem.startswith("port 7 of worker")
    assert "server.worker.port (CHATCHAT_SERVER__WORKER__PORT)" in problem


@pytest.mark.parametrize("refusal", [OSError(errno.EADDRNOTAVAIL, "no such address"), OverflowError("no port")])
def test_what_cannot_be_bound_is_named(server, refusal):
    (problem,) = problems(Settings(server=server), [worker(port=7)], FakeMachine({7: refusal}))
    assert "cannot listen on 127.0.0.1:7" in problem


def test_a_models_port_has_no_variable(server):
    plan = [replace(worker(port=7), port_setting="models.served.m.port")]
    (problem,) = problems(Settings(server=server), plan, FakeMachine({7: OSError(errno.EADDRINUSE, "in use")}))
    assert problem.endswith("models.served.m.port.")


def test_every_problem_is_found_in_either_language(server, tmp_path):
    plan = [worker("m"), replace(worker(), name="api")]
    settings = serving(server, tmp_path, options={"path": "absent"})
    english, chinese = problems(settings, plan), problems(settings, plan, language="zh-CN")
    assert len(english) == len(chinese) == 2
    assert "文件夹" in "".join(chinese)


def test_the_folders_are_made(server):
    problems(Settings(server=server), [worker()])
    assert server.data_dir.is_dir()
    assert list(server.logging.folder.iterdir()) == []


def test_an_empty_plan_and_an_unknown_model_are_problems(server):
    assert prepare(Settings(server=server), parse(["-i"]))[1][0].key == "problem.nothing_planned"
    plan, found = prepare(Settings(server=server), parse(["-m", "-n", "nope"]))
    assert plan == []
    assert "nope" in found[0].render("en")
