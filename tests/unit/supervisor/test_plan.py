"""Which processes the flags and the settings ask for."""

from __future__ import annotations

import sys

import pytest

from services.foundation.errors import UnknownModel
from services.foundation.settings.tree import Endpoint, Models, ServedModel, Server, Settings
from services.supervisor.flags import parse
from services.supervisor.plan import build_plan

SERVED = {
    "chatty": ServedModel(task="chat", engine="extractive"),
    "embedder": ServedModel(task="embedding", engine="sentence_transformers"),
    "far": ServedModel(task="chat", engine="openai_compatible", remote=True),
    "extra": ServedModel(task="rerank", engine="cross_encoder", optional=True, worker="shared"),
    "other": ServedModel(task="chat", engine="echo", worker="shared", port=20003),
}


def plan(*arguments, served=SERVED, **server):
    models = Models(default_chat="chatty", default_embedding="embedder", served=served)
    return build_plan(Settings(server=Server(**server), models=models), parse(arguments))


def names(*arguments, **settings):
    return [spec.name for spec in plan(*arguments, **settings)]


def named(name, specs):
    return next(spec for spec in specs if spec.name == name)


def test_everything_with_the_embedding_worker_first():
    assert names("-a") == [
        *("worker-embedder", "controller", "gateway", "api", "worker-chatty", "worker-far", "worker-shared", "webui")
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-o"], ["controller", "gateway"]),
        (["--api"], ["api"]),
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
    assert required == {"worker-embedder", "controller", "gateway", "api", "worker-chatty", "worker-shared", "webui"}
    assert not plan("-m", "-n", "extra")[0].required


def test_health_is_asked_on_this_machine_whatever_the_public_address():
    def health_url(host):
        return plan("--api", api=Endpoint(host=host, port=80, public_url="https://chat.example"))[0].health_url

    assert health_url("0.0.0.0") == "http://127.0.0.1:80/healthz"  # noqa: S104 - the address of a spec
    assert health_url("::") == "http://[::1]:80/healthz"
    assert health_url("fd00::2") == "http://[fd00::2]:80/healthz"


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
