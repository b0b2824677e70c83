"""What is found out before anything is started."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from services.foundation.settings.models import Downloads
from services.foundation.settings.tree import Logging, Models, ServedModel, Server, Settings
from services.supervisor.flags import parse
from services.supervisor.plan import ProcessSpec
from services.supervisor.preflight import Machine, find_problems, prepare, size_plan
from services.supervisor.sizing.machine.hardware import Hardware
from tests.unit.supervisor.sizing.making import CPU_ONLY, L40, QWEN25_7B, QWEN25_72B, TWO_A100, gpus, write_model


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

    def __init__(self, refused=None, space_bytes=10**12, hardware=CPU_ONLY):
        self._refused = refused or {}
        self._space_bytes = space_bytes
        self._hardware = hardware

    def bind(self, host, port):
        if port in self._refused:
            raise self._refused[port]

    def free_bytes(self, folder):
        return self._space_bytes

    def hardware(self, model_dir):
        return self._hardware


def problems(settings, plan, machine=None, language="en"):
    return [problem.render(language) for problem in find_problems(settings, plan, machine or FakeMachine())]


def serving(server, tmp_path, **options):
    served = {
        "m": ServedModel(**{"task": "chat", "engine": "x", **options}),
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
    write_model(tmp_path / "present", QWEN25_7B)
    assert problems(serving(server, tmp_path, **options), [worker("m")]) == []


def test_an_empty_folder_is_no_model(server, tmp_path):
    (tmp_path / "empty").mkdir()
    assert len(problems(serving(server, tmp_path, options={"path": "empty"}), [worker("m")])) == 1


def test_a_model_that_a_hub_will_give_may_start(server, tmp_path):
    settings = serving(server, tmp_path, engine="vllm", options={"path": "Qwen/Qwen3-235B"})
    models = settings.models.model_copy(update={"downloads": Downloads(source="huggingface")})
    assert len(problems(settings, [worker("m")])) == 1
    assert problems(Settings(server=server, models=models), [worker("m")]) == []


def vllm(server, folder, path="big", **fields):
    options = {"path": path, "python": "/nowhere/bin/python", **fields.pop("options", {})}
    return serving(server, folder, **{"engine": "vllm", "context_tokens": 4096, **fields}, options=options)


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path / "big", QWEN25_72B)
    write_model(tmp_path / "small", QWEN25_7B)
    return tmp_path


@pytest.mark.parametrize(
    ("fields", "hardware", "said"),
    [
        ({}, L40, "the weights of the model m take 135.4 GiB"),
        ({}, TWO_A100, "set tensor_parallel_size: 2, over 2 GPUs"),
        ({"path": "small", "replicas": 2}, L40, "want 184 % of its memory together"),
        (
            {"path": "small", "gpus": "0", "options": {"tensor_parallel_size": 2}},
            TWO_A100,
            "needs 2 GPUs and is given 1",
        ),
        ({"path": "small", "options": {"tensor_parallel_size": 2}}, L40, "wants GPU 1, and this machine's are: 0"),
        ({"path": "small", "context_tokens": 65536}, L40, "the model itself takes at most 32768"),
        ({"engine": "transformers"}, CPU_ONLY, "m need"),
    ],
)
def test_an_impossible_plan_is_refused_with_numbers_and_remedy(fields, hardware, said, server, folder):
    found = problems(vllm(server, folder, **fields), [worker("m")], FakeMachine(hardware=hardware))
    assert any(said in problem for problem in found)


@pytest.mark.parametrize(
    ("fields", "hardware"),
    [
        ({"path": "small"}, L40),
        ({"options": {"tensor_parallel_size": 2, "gpu_memory_utilization": 0.95}}, TWO_A100),
        ({"optional": True}, L40),
        ({"remote": True}, L40),
        ({}, Hardware(gpus=None)),
        ({"options": {"gpu_memory_utilization": "nonsense"}}, L40),
        ({"path": "small", "engine": "transformers", "context_tokens": 10**6}, L40),
    ],
)
def test_what_may_work_is_not_refused(fields, hardware, server, folder):
    assert problems(vllm(server, folder, **fields), [worker("m")], FakeMachine(hardware=hardware)) == []


def test_what_is_only_estimated_is_planned_not_refused(server, folder):
    """The weights alone fit into 92 % of the card; what comes on top, by the estimate, does not."""
    card = Hardware(gpus=gpus(1, 16 * 1024), ram=CPU_ONLY.ram)
    settings, machine = vllm(server, folder, "small"), FakeMachine(hardware=card)
    assert problems(settings, [worker("m")], machine) == []
    assert [finding.is_certain for finding in size_plan(settings, [worker("m")], machine).findings] == [False]


def test_an_optional_model_does_not_count_against_a_required_one(server, folder):
    settings = vllm(server, folder, "small")
    beside = settings.models.served["m"].model_copy(update={"optional": True})
    models = settings.models.model_copy(update={"served": {**settings.models.served, "o": beside}})
    both = Settings(server=server, models=models)
    machine = FakeMachine(hardware=L40)
    assert problems(both, [worker("m"), replace(worker("o"), port=1)], machine) == []
    assert len(size_plan(both, [worker("m", "o"), worker("m")], machine).findings) == 1


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
    for flags in (["-m", "-n", "nope"], ["--plan", "-n", "nope"]):
        plan, found = prepare(Settings(server=server), parse(flags))
        assert plan == []
        assert "nope" in found[0].render("en")


def test_a_plan_that_is_only_looked_at_needs_no_ports_and_no_folders(server):
    plan, found = prepare(Settings(server=server), parse(["--plan"]))
    assert plan
    assert found == []
    assert not server.data_dir.exists()


def test_models_that_cannot_share_a_worker_are_a_problem(server):
    served = {
        "m": ServedModel(task="chat", engine="x", worker="w", replicas=2),
        "e": ServedModel(task="embedding", engine="x", worker="w"),
    }
    models = Models(default_chat="m", default_embedding="e", served=served)
    _, found = prepare(Settings(server=server, models=models), parse(["-a"]))
    assert "replicas" in found[0].render("en")
