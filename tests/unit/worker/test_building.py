from __future__ import annotations

from pathlib import Path

import pytest

from services.foundation.errors import InvalidSetting, UnknownModel, UnknownVariant
from services.foundation.settings.tree import Settings
from services.worker.__main__ import main
from services.worker.building import Place, build_hosting, endpoint


def settings(public_url: str | None = None, **served: dict[str, object]) -> Settings:
    worker = {"port": 30000, "public_url": public_url}
    defaults = {"default_chat": "a", "default_embedding": "v"}
    vectors = {"task": "embedding", "engine": "echo"}
    models = {**defaults, "served": {"a": {"task": "chat", "engine": "echo"}, "v": vectors, **served}}
    return Settings.model_validate(
        {"server": {"worker": worker, "access_keys": ["key-of-this-test"]}, "models": models}
    )


async def test_the_named_models_are_built_once_each():
    hosting = build_hosting(settings(), ["v", "a", "v"], Place())

    assert [(model.name, model.task) for model in hosting.models] == [("v", "embedding"), ("a", "chat")]


@pytest.mark.parametrize(
    ("served", "failure", "sentence"),
    [
        ({"task": "chat", "engine": "nowhere"}, UnknownVariant, "Known: .*echo"),
        (
            {"task": "chat", "engine": "echo", "options": {"pices": 3}},
            InvalidSetting,
            r"models\.served\.b\.options\.pices",
        ),
        ({"task": "rerank", "engine": "extractive"}, InvalidSetting, "cannot do rerank"),
    ],
)
def test_what_cannot_be_built_says_why(served: dict[str, object], failure: type[Exception], sentence: str):
    with pytest.raises(failure, match=sentence):
        build_hosting(settings(b=served), ["b"], Place())


def test_an_unknown_model_lists_the_known():
    with pytest.raises(UnknownModel, match="Known models: a, v"):
        build_hosting(settings(), ["x"], Place())


def test_a_bad_option_does_not_show_the_others():
    served: dict[str, object] = {
        "task": "chat",
        "engine": "openai_compatible",
        "options": {"api_key": "sk-secret", "base_url": 3},
    }

    with pytest.raises(InvalidSetting) as failed:
        build_hosting(settings(b=served), ["b"], Place())

    assert "sk-secret" not in str(failed.value)


@pytest.mark.parametrize(
    ("public_url", "names", "port", "url"),
    [
        (None, ["a"], None, "http://127.0.0.1:30000"),
        (None, ["a"], 30007, "http://127.0.0.1:30007"),
        (None, ["a", "b"], None, "http://127.0.0.1:31000"),
        ("http://gpu:40000", ["a"], None, "http://gpu:40000"),
        ("http://gpu:40000", ["a"], 30002, "http://gpu:40002"),
        ("https://workers.example", ["a"], 30002, "https://workers.example"),
    ],
)
def test_where_it_listens_and_is_reached(public_url: str | None, names: list[str], port: int | None, url: str):
    given = settings(public_url, b={"task": "chat", "engine": "echo", "port": 31000})

    where = endpoint(given, names, None, port)

    assert where.url == url
    assert where.host == "127.0.0.1"


def configured(folder: Path, monkeypatch: pytest.MonkeyPatch, engine: str = "echo") -> None:
    served = f"served:\n  m: {{task: chat, engine: {engine}}}\n  v: {{task: embedding, engine: echo}}\n"
    (folder / "models.yaml").write_text(f"default_chat: m\ndefault_embedding: v\n{served}")
    monkeypatch.setenv("CHATCHAT_CONFIG_DIR", str(folder))


@pytest.mark.parametrize(
    ("engine", "model", "sentence"), [("echo", "x", "Known models: m, v"), ("nope", "m", "'nope'")]
)
def test_the_door_says_it_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    engine: str,
    model: str,
    sentence: str,
):
    configured(tmp_path, monkeypatch, engine)

    assert main(["--models", model]) == 2

    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
