"""The reranker beside `CrossEncoder.predict`, and the rerank suite on a model that knows shared words."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.foundation.errors import EngineFailed, InvalidSetting
from services.wire.openai import RerankRequest
from services.worker.engines.local.cross_encoder import CrossEncoderEngine
from tests.contract.engine import MODEL, RerankEngineContract, spec
from tests.contract.overlap_model import make_overlap_model
from tests.tiny_models import make_rerank_model

QUERY = "When does the harbour freeze?"
DOCUMENTS = [
    "Quarterly revenue rose by seven percent.",
    "The harbour does freeze when winter comes.",
    "港口位于老城的北面，冬天会结冰。",
    "",
    "long words " * 500,
    "x",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rerank_model(tmp_path_factory.mktemp("models") / "rerank")


@pytest.fixture(scope="module")
def overlap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_overlap_model(tmp_path_factory.mktemp("models") / "overlap")


async def started(folder: Path, **options: object) -> CrossEncoderEngine:
    engine = CrossEncoderEngine(spec(path=str(folder), **options))
    await engine.start()
    return engine


def asking(**fields: object) -> RerankRequest:
    return RerankRequest.model_validate({"model": MODEL, "query": QUERY, "documents": DOCUMENTS, **fields})


class TestCrossEncoder(RerankEngineContract):
    @pytest.fixture
    async def engine(self, overlap: Path) -> AsyncIterator[CrossEncoderEngine]:
        engine = await started(overlap)
        yield engine
        await engine.stop()


class TestBesideTheLibrary:
    """On random weights: what it says is noise, but the same noise."""

    @pytest.fixture
    async def engine(self, tiny: Path) -> AsyncIterator[CrossEncoderEngine]:
        engine = await started(tiny, dtype="float32")
        yield engine
        await engine.stop()

    def predicted(self, folder: Path, **options: object) -> list[float]:
        from sentence_transformers import CrossEncoder

        model = CrossEncoder(str(folder), device="cpu", **options)
        scores = model.predict([(QUERY, document) for document in DOCUMENTS], show_progress_bar=False)
        return [float(score) for score in scores]

    async def test_values_and_order_are_those_of_predict(self, engine: CrossEncoderEngine, tiny: Path):
        expected = self.predicted(tiny)
        results = (await engine.rerank(asking())).results

        assert [result.index for result in results] == sorted(range(6), key=lambda place: -expected[place])
        assert [result.relevance_score for result in results] == pytest.approx(
            [expected[result.index] for result in results], abs=1e-3
        )

    async def test_company_changes_nothing(self, engine: CrossEncoderEngine):
        together = {result.index: result.relevance_score for result in (await engine.rerank(asking())).results}
        crowd = await asyncio.gather(*(engine.rerank(asking(documents=[document])) for document in DOCUMENTS))

        alone = [answer.results[0].relevance_score for answer in crowd]
        assert alone == pytest.approx([together[place] for place in range(6)], abs=1e-4)

    async def test_the_best_of_them_with_their_texts(self, engine: CrossEncoderEngine):
        whole = (await engine.rerank(asking())).results
        best = (await engine.rerank(asking(top_n=2, return_documents=True))).results

        assert [result.index for result in best] == [result.index for result in whole[:2]]
        assert [result.document for result in best] == [DOCUMENTS[result.index] for result in best]
        assert len((await engine.rerank(asking(top_n=99))).results) == 6

    async def test_documents_are_cut_at_the_limit_and_the_log_says_how_many(
        self, tiny: Path, caplog: pytest.LogCaptureFixture
    ):
        engine = await started(tiny, dtype="float32", max_length=32)
        with caplog.at_level(logging.INFO):
            answer = await engine.rerank(asking())
        await engine.stop()

        assert "1 of 6 documents were cut, at 32 tokens a pair" in caplog.text
        assert answer.usage.total_tokens <= 6 * 32
        by_place = {result.index: result.relevance_score for result in answer.results}
        assert [by_place[place] for place in range(6)] == pytest.approx(self.predicted(tiny, max_length=32), abs=1e-3)

    async def test_the_models_own_limit_holds_where_it_is_lower(self, engine: CrossEncoderEngine):
        answer = await engine.rerank(asking(documents=["long words " * 500]))

        assert answer.usage.total_tokens == 256

    async def test_raw_numbers_of_a_model_become_relevances(self, tiny: Path, tmp_path: Path):
        """ms-marco models ask for no activation."""
        raw = make_rerank_model(tmp_path / "raw")
        config = json.loads((raw / "config.json").read_text())
        config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.linear.Identity", "version": "5.0.0"}
        (raw / "config.json").write_text(json.dumps(config))
        assert max(self.predicted(raw)) < 0, "they are logits"

        engine = await started(raw, dtype="float32")
        results = (await engine.rerank(asking())).results
        await engine.stop()

        assert {result.index: result.relevance_score for result in results} == pytest.approx(
            dict(enumerate(self.predicted(tiny))), abs=1e-3
        )


async def test_a_classifier_is_no_reranker(tmp_path: Path):
    from transformers import AutoModelForSequenceClassification

    folder = make_rerank_model(tmp_path / "classifier")
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3, ignore_mismatched_sizes=True)
    model.save_pretrained(folder)
    engine = CrossEncoderEngine(spec(path=str(folder)))

    with pytest.raises(EngineFailed, match="3 numbers for a pair"):
        await engine.start()
    await engine.stop()


async def test_a_device_that_is_not_there(tiny: Path):
    engine = CrossEncoderEngine(spec(path=str(tiny), device="cuda:7"))

    with pytest.raises(InvalidSetting, match="sees no cuda:7"):
        await engine.start()
    await engine.stop()
