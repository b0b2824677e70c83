"""The profiles of the shipped configs/models.yaml are settings, and options of their engines."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from services.foundation.settings.models import Models, ServedModel
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.vllm.options import read_vllm_options
from tests.architecture.sources import ROOT

SHIPPED = yaml.safe_load((ROOT / "configs" / "models.yaml").read_text(encoding="utf-8"))
MODELS = {
    "chat": ServedModel(task="chat", engine="vllm", options={"path": "w"}, context_tokens=4096),
    "vectors": ServedModel(task="embedding", engine="sentence_transformers", options={"path": "e"}),
}


def models(profile: str | None) -> Models:
    return Models(
        default_chat="chat",
        default_embedding="vectors",
        profile=profile,
        profiles=SHIPPED["profiles"],
        served=MODELS,
    )


def options(profile: str | None):
    given = models(profile).options_of("chat")
    return read_vllm_options(EngineSpec("chat", given, 4096, Path("model"), "", None, 5.0))


def test_none_is_in_force_by_default():
    assert "profile" not in SHIPPED
    assert options(None).gpu_memory_utilization is None


@pytest.mark.parametrize("profile", ["l40", "a100", "small_card", "cpu"])
def test_a_profile_is_read_by_the_engine(profile: str):
    assert options(profile).path == "w"


def test_the_figures_an_operator_measured():
    l40, a100 = options("l40"), options("a100")
    assert (l40.gpu_memory_utilization, l40.limit_worker_concurrency) == (0.90, 100)
    assert (a100.gpu_memory_utilization, a100.max_num_seqs, a100.limit_worker_concurrency) == (0.95, 512, 300)


def test_a_small_card_leaves_embeddings_to_the_cpu():
    assert models("small_card").options_of("vectors") == {"device": "cpu", "path": "e"}


def test_the_cpu_profile_keeps_vllm_from_starving_its_own_server():
    cpu = options("cpu")
    assert cpu.arguments == ["--distributed-executor-backend", "uni"]
    assert cpu.environment["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
