"""Which processes the flags and the settings ask for."""

from __future__ import annotations

import sys

import pytest

from services.foundation.errors import InvalidSetting, UnknownModel
from services.foundation.settings.tree import (
    Choice,
    Endpoint,
    Knowledge,
    Models,
    ServedModel,
    Server,
    Settings,
)
from services.supervisor.flags import parse
from services.supervisor.plan import LOADING_SECONDS, build_plan, plan_model, supervised

SERVED = {
    "chatty": ServedModel(task="chat", engine="extractive"),
    "embedder": ServedModel(task="embedding", engine="sentence_transformers"),
    "far": ServedModel(task="chat", engine="openai_compatible", remote=True),
    "extra": ServedModel(task="rerank", engine="cross_encoder", optional=True, worker="shared"),
    "other": ServedModel(task="chat", engine="echo", worker="shared", port=20003),
}

MODELS = Models(default_chat="chatty", default_embedding="embedder", served=SERVED)


def plan(*arguments, served=SERVED, **server):
    models = Models(default_chat="chatty", default_embedding="embedder", served=served)
    return build_plan(Settings(server=Server(**server), models=models), parse(arguments))


def names(*arguments, **settings):
    return [spec.name for spec in plan(*arguments, **settings)]


def named(name, specs):
    return next(spec for spec in specs if spec.name == name)


def test_everything_with_the_embedding_worker_first():
    assert names("-a") == [
        *("worker-embedder", "controller", "gateway", "milvus", "ingest", "api"),
        *("worker-chatty", "worker-far", "worker-shared", "webui"),
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-o"], ["controller", "gateway"]),
        (["--api"], ["milvus", "ingest", "api"]),
        (["-w"], ["webui"]),
        (["-m"], ["worker-embedder", "worker-chatty", "worker-shared"]),
        (["-p"], ["worker-far"]),
        (["-m", "-n", "chatty", "far"], ["worker-chatty"]),
        (["-p", "-n", "chatty", "far"], ["worker-far"]),
        (["--llm-api", "-n", "far"], ["controller", "gateway", "worker-far"]),
        (["-i"], []),
        (["-m", "-n", "far"], []),
    ],
)
def test_parts(arguments, expected):
    assert names(*arguments) == expected


def test_the_default_embedding_model_comes_along_with_the_whole_stack_only():
    assert "worker-embedder" in names("-a", "-n", "far")
    assert "worker-embedder" in names("--all-api", "-n", "far")
    assert "worker-embedder" not in names("--llm-api", "-n", "far")
    assert "worker-embedder" not in names("-a", "--lite")


def test_a_worker_is_told_its_name_port_and_models():
    shared = named("worker-shared", plan("-m"))
    assert shared.command == (
        *(sys.executable, "-m", "services.worker", "--name", "worker-shared", "--port", "20003"),
        *("--models", "extra", "other"),
    )
    assert shared.models == ("extra", "other")
    assert shared.health_url == "http://127.0.0.1:20003/healthz"


def test_only_the_named_models_of_a_shared_worker_are_started():
    assert plan("-m", "-n", "other")[0].models == ("other",)


def test_a_worker_is_told_another_controller():
    assert plan("-m", "-n", "chatty", "-c", "http://far:1")[0].command[-2:] == ("--controller", "http://far:1")


def test_ports_count_up_around_those_that_are_given_and_do_not_depend_on_n():
    ports = {spec.name: spec.port for spec in plan("-m", "-p")}
    assert ports == {"worker-chatty": 20002, "worker-embedder": 20004, "worker-far": 20005, "worker-shared": 20003}
    assert plan("-p")[0].port == 20005


def test_what_chooses_the_port_is_named():
    specs = plan("-a")
    assert named("worker-shared", specs).port_setting == "models.served.other.port"
    assert named("worker-chatty", specs).port_setting == "server.worker.port"
    assert named("api", specs).port_setting == "server.api.port"


def test_remote_and_optional_models_are_not_required_but_what_shares_their_worker_may_be():
    required = {spec.name for spec in plan("-a") if spec.required}
    workers = {"worker-embedder", "worker-chatty", "worker-shared"}
    assert required == {*workers, "controller", "gateway", "milvus", "ingest", "api", "webui"}
    assert not plan("-m", "-n", "extra")[0].required


def test_health_is_asked_on_this_machine_whatever_the_public_address():
    def health_url(host):
        served = plan("--api", api=Endpoint(host=host, port=80, public_url="https://chat.example"))
        return named("api", served).health_url

    assert health_url("0.0.0.0") == "http://127.0.0.1:80/healthz"  # noqa: S104 - the address of a spec
    assert health_url("::") == "http://[::1]:80/healthz"
    assert health_url("fd00::2") == "http://[fd00::2]:80/healthz"


def test_files_are_indexed_by_as_many_processes_as_are_wanted():
    settings = Settings(
        server=Server(ingest=Endpoint(port=7000)), models=MODELS, knowledge=Knowledge(ingest_processes=2)
    )
    found = {spec.name: spec for spec in build_plan(settings, parse(["--api"]))}
    assert [name for name in found if name.startswith("ingest")] == ["ingest", "ingest-2"]
    assert found["ingest-2"].command[1:] == ("-m", "services.api", "ingest", "--number", "2")
    assert found["ingest-2"].port == 7001


@pytest.mark.parametrize(
    "chosen", [Choice(name="milvus", options={"uri": "http://far:19530"}), Choice(name="elsewhere")]
)
def test_the_embedded_milvus_runs_only_where_it_is_used(chosen):
    settings = Settings(models=MODELS, knowledge=Knowledge(vector_store=chosen))
    assert [spec.name for spec in build_plan(settings, parse(["--api"]))] == ["ingest", "api"]


def test_the_web_ui_is_streamlits_and_so_is_its_health():
    spec = plan("-w")[0]
    assert spec.command[:5] == (sys.executable, "-m", "streamlit", "run", "webui/app.py")
    assert spec.command[spec.command.index("--server.port") + 1] == "8501"
    assert spec.health_url == "http://127.0.0.1:8501/_stcore/health"


def test_quiet_reaches_every_process():
    assert {tuple(spec.environment.items()) for spec in plan("-a", "-q")} == {
        (("CHATCHAT_SERVER__LOGGING__LEVEL", "ERROR"),)
    }
    assert not any(spec.environment for spec in plan("-a"))


def test_a_models_name_that_is_no_file_name_is_made_one():
    served = {**SERVED, "中文/嵌入 模型": ServedModel(task="rerank", engine="x")}
    assert plan("-m", "-n", "中文/嵌入 模型", served=served)[0].name == "worker-中文-嵌入-模型"


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(UnknownModel) as refused:
        plan("-m", "-n", "chatty", "nope")
    assert "nope" in str(refused.value)
    assert "chatty, embedder, extra, far, other" in str(refused.value)


TWINS = {
    "chatty": ServedModel(task="chat", engine="echo", replicas=3),
    "embedder": ServedModel(task="embedding", engine="echo"),
    "fixed": ServedModel(task="chat", engine="echo", replicas=2, port=20100),
    "chatty-2": ServedModel(task="chat", engine="echo"),
}


def test_every_replica_is_a_process_with_a_number_and_a_port_of_its_own():
    first, second, third = plan("-m", "-n", "chatty", served=TWINS)
    assert [spec.name for spec in (first, second, third)] == ["worker-chatty", "worker-chatty-2_", "worker-chatty-3"]
    assert "--replica" not in first.command
    assert third.command[2:] == (
        *("services.worker", "--name", "worker-chatty-3", "--port", str(third.port), "--replica", "3"),
        *("--models", "chatty"),
    )
    assert third.health_url == f"http://127.0.0.1:{third.port}/healthz"
    assert third.models == ("chatty",)


def test_a_model_keeps_its_first_port_however_many_replicas_there_are():
    def first_ports(served):
        return {spec.models: spec.port for spec in reversed(plan("-m", served=served))}

    alone = {name: model.model_copy(update={"replicas": 1}) for name, model in TWINS.items()}
    assert first_ports(TWINS) == first_ports(alone)
    ports = [spec.port for spec in plan("-m", served=TWINS)]
    assert len(set(ports)) == len(ports) == 7
    assert [spec.port for spec in plan("-m", "-n", "fixed", served=TWINS)] == [20100, 20007]


def test_only_the_first_port_of_a_replica_is_chosen_by_the_models_own_setting():
    assert [spec.port_setting for spec in plan("-m", "-n", "fixed", served=TWINS)] == [
        *("models.served.fixed.port", "server.worker.port")
    ]


def test_no_worker_is_given_the_port_of_a_service():
    many = {f"m{number}": ServedModel(task="chat", engine="echo") for number in range(12)}
    served = {**SERVED, **many}
    ports = [spec.port for spec in plan("-m", served=served, gateway=Endpoint(port=20006))]
    assert not {20000, 20001, 20006, 20009} & set(ports)
    assert len(set(ports)) == len(ports)


def test_models_that_share_a_worker_must_agree_on_its_replicas():
    shared = {"worker": "w", "task": "chat", "engine": "echo"}
    served = {**SERVED, "x": ServedModel(**shared, replicas=2), "y": ServedModel(**shared)}
    with pytest.raises(InvalidSetting) as refused:
        plan("-m", served=served)
    assert refused.value.facts["setting"] == "models.served.y.replicas"
    assert "'w'" in str(refused.value)
    served["y"] = ServedModel(**shared, replicas=2)
    assert [spec.models for spec in plan("-m", "-n", "x", "y", served=served)] == [("x", "y"), ("x", "y")]


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"engine": "echo"}, None),
        ({"engine": "echo", "start_timeout_seconds": 7}, 7),
        ({"engine": "vllm"}, LOADING_SECONDS),
        ({"engine": "vllm", "start_timeout_seconds": 60}, 60),
        ({"engine": "vllm", "remote": True}, None),
    ],
)
def test_how_long_a_start_may_take(fields, seconds):
    served = {**SERVED, "m": ServedModel(task="chat", **fields)}
    assert plan("-m", "-p", "-n", "m", served=served)[0].start_timeout_seconds == seconds


def test_a_shared_worker_may_take_as_long_as_its_slowest_model():
    shared = {"worker": "w", "task": "chat", "engine": "echo"}
    served = {**SERVED, "x": ServedModel(**shared, start_timeout_seconds=7), "y": ServedModel(**shared)}
    assert plan("-m", "-n", "x", "y", served=served, start_timeout_seconds=99)[0].start_timeout_seconds == 99


def test_one_model_is_planned_as_in_the_whole_plan_whatever_the_flags_selected():
    settings = Settings(models=Models(default_chat="chatty", default_embedding="embedder", served=TWINS))
    whole = {spec.name: spec for spec in build_plan(settings, parse(["-m"]))}
    for name in TWINS:
        for spec in plan_model(settings, parse(["-o"]), name):
            assert spec == whole[spec.name]
    assert plan_model(settings, parse(["-o", "-q"]), "chatty")[0].environment
    with pytest.raises(UnknownModel, match="chatty, chatty-2"):
        plan_model(settings, parse(["-o"]), "absent")


def test_a_worker_is_told_its_supervisor_and_nothing_else_is():
    for spec in plan("-a"):
        told = supervised(spec, "http://127.0.0.1:20009").command
        assert told == (*spec.command, "--supervisor", "http://127.0.0.1:20009") if spec.models else spec.command
