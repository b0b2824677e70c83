"""The settings tree and its one reader: YAML folder, environment, sentences about mistakes, and `make config`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from services.foundation.settings import __main__ as show
from services.foundation.settings.load import ROOT, BadSettings, load_settings, read_settings
from services.foundation.settings.tree import Endpoint, Knowledge, Models, Retrieval, ServedModel, Server, Settings

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(**files: str) -> Path:
        for stem, text in files.items():
            (tmp_path / f"{stem}.yaml").write_text(text, encoding="utf-8")
        return tmp_path

    return _write


def problems(folder: Path) -> str:
    with pytest.raises(BadSettings) as caught:
        read_settings(folder)
    return "\n".join(caught.value.problems)


def test_the_shipped_configuration_is_valid():
    settings = read_settings(ROOT / "configs")
    assert settings.models.default_chat in settings.models.served
    assert settings.server.api.port == 7861
    assert settings.server.access_keys == ()


def test_everything_listens_on_loopback_unless_told_otherwise():
    server = read_settings(ROOT / "configs").server
    endpoints = [getattr(server, name) for name in Server.model_fields if isinstance(getattr(server, name), Endpoint)]
    assert len(endpoints) == 9
    assert {endpoint.host for endpoint in endpoints} == {"127.0.0.1"}


def test_a_file_fills_the_branch_of_its_name(write: Write):
    settings = read_settings(write(knowledge="chunk_chars: 300\ndefault_base: 手册", server=""))
    assert (settings.knowledge.chunk_chars, settings.knowledge.default_base) == (300, "手册")
    assert settings.knowledge.overlap_chars == 50


def test_the_environment_merges_into_a_branch(write: Write, monkeypatch: pytest.MonkeyPatch):
    folder = write(server="api: {port: 9000, host: 0.0.0.0}\nlanguage: en")
    monkeypatch.setenv("CHATCHAT_SERVER__API__PORT", "9001")
    server = read_settings(folder).server
    assert (server.api.host, server.api.port, server.language) == ("0.0.0.0", 9001, "en")  # noqa: S104 - compared


def test_an_argument_wins(write: Write, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHATCHAT_SERVER__LANGUAGE", "en")
    settings = read_settings(write(server="language: en\nstop_grace_seconds: 9"), server={"language": "zh-CN"})
    assert (settings.server.language, settings.server.stop_grace_seconds) == ("zh-CN", 9)


def test_another_folder_may_be_named(write: Write, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHATCHAT_CONFIG_DIR", str(write(server="language: en")))
    assert read_settings().server.language == "en"


def test_keys_come_from_the_environment_as_json(write: Write, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHATCHAT_SERVER__ACCESS_KEYS", '["hush-hush-hush", "hush-hush-hush2"]')
    assert read_settings(write()).server.access_keys == (SecretStr("hush-hush-hush"), SecretStr("hush-hush-hush2"))


def test_names_an_unknown_key_and_where_it_stands(write: Write):
    folder = write(knowledge="chunk_chrs: 300")
    said = problems(folder)
    assert "knowledge.chunk_chrs: Extra inputs are not permitted" in said
    assert str(folder / "knowledge.yaml") in said
    assert "CHATCHAT_KNOWLEDGE__CHUNK_CHRS" in said


def test_names_an_unknown_file(write: Write):
    folder = write(knowlege="chunk_chars: 300")
    assert f"knowlege: Extra inputs are not permitted; see {folder / 'knowlege.yaml'}" in problems(folder)


def test_names_a_wrong_type_with_what_was_given(write: Write):
    said = problems(write(server="api: {port: nine}"))
    assert "server.api.port" in said
    assert "(given: 'nine')" in said


def test_names_every_problem_at_once(write: Write):
    said = problems(write(server="heartbeat_seconds: 0\nlanguage: fr", knowledge="embed_batch: -1"))
    assert len(said.splitlines()) == 3
    assert "'zh-CN' or 'en'" in said


@pytest.mark.parametrize("text", ["api: {port: [", "a: b: c", "\t- x", "!!python/object:os.system {}"])
def test_names_a_file_that_is_not_yaml(write: Write, text: str):
    folder = write(server=text)
    assert problems(folder).startswith(f"{folder / 'server.yaml'}: not valid YAML: ")


def test_names_a_file_that_is_not_text(write: Write):
    folder = write()
    (folder / "server.yaml").write_bytes("语言: zh".encode("gbk"))
    assert "not valid YAML" in problems(folder)


@pytest.mark.parametrize("text", ["- a list", "just words"])
def test_names_a_file_that_is_no_mapping(write: Write, text: str):
    folder = write(server=text)
    assert problems(folder) == f"{folder / 'server.yaml'}: must be a mapping of settings"


def test_names_a_missing_folder(tmp_path: Path):
    assert "does not exist" in problems(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["CHATCHAT_SERVER", "CHATCHAT_SERVER__ACCESS_KEYS"])
def test_names_a_branch_of_the_environment_that_is_not_json(write: Write, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "hush-hush-hush")
    said = problems(write())
    assert "the environment" in said
    assert "server" in said
    assert "hush-hush-hush" not in said


@pytest.mark.parametrize(
    ("branch", "text"),
    [
        ("server", "access_keys: hush-hush-hush"),
        ("server", "access_keys: [{key: hush-hush-hush}]"),
        ("server", "worker_token: [hush-hush-hush]"),
        ("models", "served: {m: {task: chat, engine: e, options: {api_key: hush-hush-hush}}}\ndefault_chat: x"),
        ("models", "served: {m: {task: chat, engine: e, options: hush-hush-hush}}"),
        ("models", "served: {m: {engine: e, options: {api_key: hush-hush-hush}}}"),
    ],
)
def test_a_mistake_near_a_secret_does_not_print_it(write: Write, branch: str, text: str):
    assert "hush-hush-hush" not in problems(write(**{branch: text}))


def test_a_door_prints_the_problems_and_leaves_with_2(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("CHATCHAT_CONFIG_DIR", str(write(server="langage: en\nheartbeat_seconds: 0")))
    with pytest.raises(SystemExit) as left:
        load_settings()
    assert left.value.code == 2
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 2
    assert all(line.startswith("Configuration error: server.") for line in printed)


CHAT = ServedModel(task="chat", engine="echo")
EMBEDDING = ServedModel(task="embedding", engine="echo")


@pytest.mark.parametrize(
    ("served", "field", "known"),
    [
        ({"e": EMBEDDING}, "default_chat", "known: none"),
        ({"c": CHAT, "b": CHAT, "e": EMBEDDING}, "default_chat", "known: b, c"),
        ({"extractive": CHAT}, "default_embedding", "known: none"),
        ({"extractive": EMBEDDING, "all-minilm-l6-v2": EMBEDDING}, "default_chat", "known: none"),
        ({"extractive": CHAT, "all-minilm-l6-v2": CHAT}, "default_embedding", "known: none"),
    ],
)
def test_a_default_model_must_be_served_for_its_task(served: dict[str, ServedModel], field: str, known: str):
    with pytest.raises(ValidationError) as caught:
        Models(served=served)
    assert f"{field} names" in str(caught.value)
    assert known in str(caught.value)


def test_a_default_reranker_must_be_served_and_used():
    served = {"c": CHAT, "e": EMBEDDING, "r": ServedModel(task="rerank", engine="cross_encoder")}
    names = {"served": served, "default_chat": "c", "default_embedding": "e"}
    assert Settings(models=Models(**names, default_rerank="r")).models.default_rerank == "r"
    with pytest.raises(ValidationError, match=r"default_rerank names 'c', which is no rerank model.*known: r"):
        Models(**names, default_rerank="c")
    with pytest.raises(ValidationError, match=r"models.default_rerank has no effect while knowledge.retrieval.rerank"):
        Settings(models=Models(**names, default_rerank="r"), knowledge=Knowledge(retrieval=Retrieval(rerank=False)))


def test_defaults_that_are_served_are_fine():
    models = Models(served={"c": CHAT, "e": EMBEDDING}, default_chat="c", default_embedding="e")
    assert models.default_chat == "c"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (Endpoint(port=80), "http://127.0.0.1:80"),
        (Endpoint(host="0.0.0.0", port=80), "http://127.0.0.1:80"),  # noqa: S104 - never bound
        (Endpoint(host="::", port=80), "http://[::1]:80"),
        (Endpoint(host="10.0.0.4", port=80), "http://10.0.0.4:80"),
        (Endpoint(host="fd00::4", port=80), "http://[fd00::4]:80"),
        (Endpoint(host="10.0.0.4", port=80, public_url="https://kb.example/"), "https://kb.example"),
    ],
)
def test_the_reachable_address(endpoint: Endpoint, url: str):
    assert endpoint.url == url


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_no_port_out_of_range(port: int):
    with pytest.raises(ValidationError):
        Endpoint(port=port)


def test_secrets_are_masked_wherever_settings_are_shown():
    settings = Settings(
        server=Server(access_keys=(SecretStr("hush-hush-hush"),), worker_token=SecretStr("hush-hush-hush"))
    )
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "hush-hush-hush" not in shown


@pytest.mark.parametrize("short", ["", "x", "x" * 11])
@pytest.mark.parametrize("name", ["access_keys", "worker_token"])
def test_no_secret_is_short(name: str, short: str):
    given = SecretStr(short)
    with pytest.raises(ValidationError, match=f"{name}: a secret must have at least 12 characters"):
        Server.model_validate({name: (given,) if name == "access_keys" else given})


def test_nothing_can_be_assigned():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().server.language = "en"  # type: ignore[misc]


def test_the_database_stands_in_the_data_folder_unless_named(tmp_path: Path):
    settings = Settings(server=Server(data_dir=tmp_path))
    assert settings.database_url == f"sqlite+aiosqlite:///{tmp_path / 'info.db'}"
    named = Settings.model_validate({"knowledge": {"database_url": "postgresql+asyncpg://db/x"}})
    assert named.database_url == "postgresql+asyncpg://db/x"


def _nodes(node: type[BaseModel]) -> list[type[BaseModel]]:
    inner = [field.annotation for field in node.model_fields.values()]
    found = [part for part in inner if isinstance(part, type) and issubclass(part, BaseModel)]
    return [node, *(deeper for part in found for deeper in _nodes(part))]


@pytest.mark.parametrize("node", _nodes(Settings), ids=lambda node: node.__name__)
def test_every_setting_says_what_it_is(node: type[BaseModel]):
    undescribed = [name for name, field in node.model_fields.items() if not field.description]
    assert undescribed in ([], ["name"])  # the name of a Choice is said by the setting that holds it


def test_config_shows_every_value_and_its_origin(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = write(
        server="language: en\naccess_keys: [hush-hush-hush]",
        models="default_chat: m\ndefault_embedding: e\nserved:\n"
        "  m: {task: chat, engine: echo, options: {api_key: hush-hush-hush}}\n  e: {task: embedding, engine: echo}",
    )
    monkeypatch.setenv("CHATCHAT_CONFIG_DIR", str(folder))
    monkeypatch.setenv("CHATCHAT_SERVER__API__PORT", "9001")
    show.main()
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert rows["server.language"] == ["en", "server.yaml"]
    assert rows["server.api.port"] == ["9001", "environment", "CHATCHAT_SERVER__API__PORT"]
    assert rows["server.gateway.port"] == ["20000", "default"]
    assert rows["knowledge.retrieval.top_k"] == ["3", "default"]
    assert rows["models.served"] == ["e,", "m", "models.yaml"]
    assert "hush-hush-hush" not in out


def test_config_shows_one_row_a_leaf():
    shown = [path for path, _, _ in show.rows(Settings())]
    assert len(shown) == len(set(shown))
    assert {path.split(".")[0] for path in shown} == set(Settings.model_fields)


def test_a_misspelt_branch_in_the_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATCHAT_SERVR__API__PORT", "9000")
    with pytest.raises(BadSettings, match="CHATCHAT_SERVR__API__PORT"):
        read_settings(tmp_path)


def test_a_password_in_the_database_url_is_not_shown() -> None:
    settings = Settings.model_validate({"knowledge": {"database_url": "postgresql+asyncpg://me:hunter2@db/x"}})
    assert "hunter2" not in repr(settings) + str(settings.model_dump())
    model = ServedModel(task="chat", engine="openai_compatible", options={"api_key": "hunter2"})
    assert "hunter2" not in repr(model)


def test_own_prompts_lie_beside_the_settings_or_where_they_say(write: Write, tmp_path: Path):
    folder = write(server="")
    assert read_settings(folder).server.prompts_dir == tmp_path / "prompts"
    own = tmp_path / "own"
    own.mkdir()
    write(server=f"prompts_dir: {own}")
    assert read_settings(folder).server.prompts_dir == own


def test_a_folder_of_prompts_that_is_named_must_be_there(write: Write, tmp_path: Path):
    folder = write(server=f"prompts_dir: {tmp_path / 'none'}")
    assert problems(folder) == f"server.prompts_dir: the folder {tmp_path / 'none'} does not exist"
