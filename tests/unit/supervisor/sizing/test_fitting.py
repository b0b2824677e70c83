"""Made-up machines and well-known models: what fits, what does not, and what is beyond doubt."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.supervisor.sizing.fitting import size_models
from services.supervisor.sizing.machine.hardware import GIB, Hardware, Ram
from tests.unit.supervisor.sizing import making
from tests.unit.supervisor.sizing.making import (
    AWQ,
    BGE_LARGE,
    CPU_ONLY,
    EIGHT_CARDS,
    H100,
    L40,
    LAPTOP,
    MACHINES,
    TWO_A100,
    gpus,
    serving,
    write_model,
)

CONFIGS = {
    "q7": making.QWEN25_7B,
    "q14": making.QWEN25_14B,
    "q72": making.QWEN25_72B,
    "qwen3": making.QWEN3_8B,
    "llama8": making.LLAMA31_8B,
    "llama70": making.LLAMA3_70B,
    "yi": making.YI_34B,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder that takes no space."""
    made = tmp_path_factory.mktemp("model")
    for name, config in CONFIGS.items():
        write_model(made / name, config)
    write_model(made / "bge", BGE_LARGE, "F32")
    return made


def entry(path, **fields):
    options = {"path": path, **fields.pop("options", {})}
    return {"options": options, **fields}


def sized(folder, hardware, **served):
    return size_models(serving(folder, **served), list(served), hardware)


def only(folder, hardware, path, **fields):
    (fit,) = sized(folder, hardware, m=entry(path, **fields)).fits
    return fit


def keys(sizing):
    return [finding.sentence.key.removeprefix("sizing.") for finding in sizing.findings]


def test_the_room_that_vllm_found_on_an_h100(folder):
    """llm-d's report, vLLM 0.19 at 0.95, which did not count CUDA graphs: 58.53 and 58.11 GiB."""
    options = {"gpu_memory_utilization": 0.95, "enforce_eager": True}
    for path, gib, tokens in (("q7", 58.53, 1_096_000), ("llama8", 58.11, 476_016)):
        fit = only(folder, H100, path, options=options)
        assert fit.room_bytes is not None
        assert fit.room_bytes / GIB == pytest.approx(gib, rel=0.02)
        per_token = fit.load.token_bytes()
        assert per_token is not None
        assert fit.room_bytes / per_token == pytest.approx(tokens, rel=0.02)


def test_the_room_that_vllm_found_on_a_card_of_24_gb(folder):
    """A start-up log of vLLM 0.21 or later, Qwen3-8B at 0.9764 (LMCache issue 3430): 6.37 GiB, 46,368 tokens."""
    card = Hardware(gpus=gpus(1, 24564, "NVIDIA GeForce RTX 4090"), ram=making.ROOMY)
    fit = only(folder, card, "qwen3", options={"gpu_memory_utilization": 0.9764})
    assert fit.room_bytes is not None
    assert 0.85 * 6.37 < fit.room_bytes / GIB < 6.37


def test_a_7b_on_an_l40(folder):
    fit = only(folder, L40, "q7", options={"gpu_memory_utilization": 0.9})
    assert fit.findings == ()
    assert fit.room_bytes is not None
    assert fit.room_bytes / GIB == pytest.approx(45 * 0.98 * 0.9 - 14.2 - 1.74, abs=0.3)
    assert fit.longest == 32768
    assert fit.concurrency == int(fit.room_bytes // (4096 * 56 * 1024))


def test_concurrency_ends_where_the_engine_ends_it(folder):
    assert only(folder, H100, "q7", options={"max_num_seqs": 16}).concurrency == 16
    assert only(folder, H100, "q7", options={"limit_worker_concurrency": 5}).concurrency == 5
    assert only(folder, L40, "q7", engine="transformers").concurrency == 1
    fit = only(folder, L40, "q7", engine="transformers", options={"limit_worker_concurrency": 4})
    assert fit.concurrency == 4


def test_a_cache_in_fp8_holds_twice_the_requests(folder):
    usual, small = (only(folder, L40, "q7", options={"kv_cache_dtype": dtype}) for dtype in ("auto", "fp8"))
    assert usual.concurrency
    assert small.concurrency in {2 * usual.concurrency, 2 * usual.concurrency + 1}


# Which of the models fit where, alone, with a context of 4096, cut over as many GPUs as there are.
@pytest.mark.parametrize(
    ("machine", "fitting"),
    [
        ("L40", {"q7", "q14", "qwen3", "llama8"}),
        ("2xA100", {"q7", "q14", "qwen3", "llama8", "yi", "q72", "llama70"}),
        ("8x24", {"q7", "q14", "qwen3", "llama8", "yi", "q72", "llama70"}),
        ("H100", {"q7", "q14", "qwen3", "llama8", "yi"}),
        ("laptop", set()),
        ("CPU", {"q7", "qwen3", "llama8"}),
    ],
)
def test_what_fits_where(machine, fitting, folder):
    hardware = MACHINES[machine]
    size = len(hardware.gpus or ()) or 1
    found = set()
    for path, config in CONFIGS.items():
        tensor = next(cut for cut in (8, 2, 1) if cut <= size and config["num_attention_heads"] % cut == 0)
        options: dict[str, Any] = {"tensor_parallel_size": tensor, "pipeline_parallel_size": size // tensor}
        options |= {"gpu_memory_utilization": 0.95} if hardware.gpus else {"kv_cache_memory_bytes": "1G"}
        if not sized(folder, hardware, m=entry(path, options=options)).findings:
            found.add(path)
    assert found == fitting


@pytest.mark.parametrize(
    ("hardware", "path", "fields", "key", "said"),
    [
        (TWO_A100, "q72", {}, "cut", "set tensor_parallel_size: 2, over 2 GPUs"),
        (EIGHT_CARDS, "q72", {"gpus": "0,1"}, "cut", "set tensor_parallel_size: 8"),
        (LAPTOP, "q7", {}, "quantise", "14.2 GiB and about 1.7 GiB come on top, but only 7.2 GiB are there"),
        (LAPTOP, "q72", {}, "smaller_on_gpu", "use a smaller model"),
        (L40, "q72", {"engine": "transformers"}, "quantise", "int4 version (AWQ or GPTQ, about 38"),
        (CPU_ONLY, "q72", {"options": {"kv_cache_memory_bytes": "1G"}}, "smaller_on_cpu", "or add memory"),
        (TWO_A100, "q7", {"options": {"tensor_parallel_size": 3}, "gpus": "0,1"}, "too_few_gpus", "needs 3 GPUs"),
        (TWO_A100, "q7", {"options": {"tensor_parallel_size": 4}}, "no_such_gpu", "wants GPU 2, 3"),
        (L40, "q7", {"gpus": "1"}, "no_such_gpu", "this machine's are: 0"),
        (EIGHT_CARDS, "q7", {"options": {"tensor_parallel_size": 8}}, "heads", "possible: 1, 2, 4"),
        (EIGHT_CARDS, "q7", {"gpus": "0,1,2", "replicas": 2}, "gpus_uneven", "2 replicas"),
        (L40, "yi", {"context_tokens": 8192, "options": {"kv_cache_memory_bytes": "1G"}}, "context_beyond_model",
         "set models.served.m.context_tokens to 4096 or less"),
        (H100, "q7", {"context_tokens": 32768, "options": {"kv_cache_memory_bytes": "1G"}}, "context_beyond_room",
         "needs 1.8 GiB of KV cache, and 1.0 GiB are left; set models.served.m.context_tokens to 18720 or less"),
        (H100, "q7", {"options": {"kv_cache_memory_bytes": "1k"}}, "no_room", "0.00 GiB are left"),
    ],
)  # fmt: skip
def test_what_is_impossible_is_beyond_doubt_and_says_what_to_do(hardware, path, fields, key, said, folder):
    fields = {**fields, "options": fields.get("options", {})}
    sizing = sized(folder, hardware, m=entry(path, **fields))
    assert key in keys(sizing)
    finding = sizing.findings[keys(sizing).index(key)]
    assert finding.is_certain
    assert said in finding.sentence.render("en")
    assert "m" in finding.sentence.render("zh-CN")


@pytest.mark.parametrize("fields", [{"path": "q72"}, {"path": "llama8", "context_tokens": 131072}])
def test_the_remedy_is_one(fields, folder):
    """Doing what the sentence says makes it fit."""
    path = fields["path"]
    fields = {name: given for name, given in fields.items() if name != "path"}
    hardware = EIGHT_CARDS
    (finding,) = sized(folder, hardware, m=entry(path, **fields)).findings
    facts = finding.sentence.facts
    if "size" in facts:
        remedied = sized(folder, hardware, m=entry(path, options={"tensor_parallel_size": facts["size"]}, **fields))
    else:
        remedied = sized(folder, hardware, m=entry(path, context_tokens=facts["fits"]))
    assert remedied.findings == ()


def test_several_models_on_one_gpu(folder):
    half = {"gpu_memory_utilization": 0.5}
    assert sized(folder, H100, a=entry("q7", options=half), b=entry("q7", options=half)).findings == ()
    (finding,) = sized(folder, H100, a=entry("q7"), b=entry("q7")).findings
    assert finding.is_certain
    assert finding.models == ("a", "b")
    assert "on GPU 0, a, b want 184 % of its memory" in finding.sentence.render("en")
    assert sized(folder, TWO_A100, a=entry("q7", gpus="0"), b=entry("q7", gpus="1")).findings == ()


def test_replicas_share_a_gpu_when_none_is_named(folder):
    assert keys(sized(folder, TWO_A100, m=entry("q7", replicas=2))) == ["gpu_shared"]
    assert keys(sized(folder, TWO_A100, m=entry("q7", replicas=2, gpus="0,1"))) == []


def test_an_embedder_beside_it_counts(folder):
    embedder = entry("bge", engine="sentence_transformers", task="embedding", options={"device": "cuda"})
    chat = {"gpu_memory_utilization": 0.95}
    assert sized(folder, L40, chat=entry("q7", options={"gpu_memory_utilization": 0.9}), e=embedder).findings == ()
    (finding,) = sized(folder, L40, chat=entry("q7", options=chat), e=embedder).findings
    assert finding.sentence.key == "sizing.gpu_shared"
    assert not finding.is_certain  # its weights alone would fit, what it computes is an estimate
    (finding,) = sized(folder, L40, chat=entry("q7", options={"gpu_memory_utilization": 1.0}), e=embedder).findings
    assert finding.is_certain


def test_a_transformers_model_has_what_others_leave(folder):
    alone = only(folder, L40, "q7", engine="transformers")
    beside = sized(
        folder,
        L40,
        m=entry("q7", engine="transformers"),
        e=entry("bge", engine="cross_encoder", task="rerank", options={"device": "cuda"}),
    ).fits[0]
    assert alone.room_bytes is not None
    assert beside.room_bytes is not None
    embedder = sized(folder, L40, e=entry("bge", engine="cross_encoder", task="rerank")).fits[0]
    taken = embedder.load.weights_bytes
    assert taken
    assert alone.room_bytes - beside.room_bytes == taken + GIB


def test_what_else_uses_the_gpu(folder):
    busy = Hardware(gpus=gpus(1, 46068, used_mib=10_000), ram=making.ROOMY)
    (finding,) = sized(folder, busy, m=entry("q7")).findings
    assert finding.is_certain
    assert "of the 45.0 GiB of GPU 0 only 35.2 GiB are free now, and m need 40.6 GiB" in finding.sentence.render("en")
    assert sized(folder, busy, m=entry("q7", options={"gpu_memory_utilization": 0.7})).findings == ()


def test_on_a_processor(folder):
    fit = only(folder, CPU_ONLY, "q7", options={"kv_cache_memory_bytes": "2G"})
    assert fit.findings == ()
    assert fit.room_bytes == 2 * GIB
    assert fit.concurrency == 2 * GIB // (4096 * 56 * 1024)
    auto = sized(folder, replace(CPU_ONLY, ram=Ram(24 * GIB, 20 * GIB)), m=entry("q7"))
    assert keys(auto) == ["ram_share"]
    assert not auto.findings[0].is_certain
    assert "vLLM takes 92 % of the main memory for the model m (22.1 GiB)" in auto.findings[0].sentence.render("en")


def test_main_memory_is_shared(folder):
    four = {name: entry("q7", engine="transformers", options={"dtype": "bfloat16"}) for name in ("a", "b")}
    sizing = sized(folder, CPU_ONLY, **four)
    finding = sizing.shared[0]
    assert finding.is_certain
    assert "a, b need 30.0 GiB of main memory, and 22.0 GiB are free now" in finding.sentence.render("en")
    with_swap = replace(CPU_ONLY, ram=Ram(24 * GIB, 22 * GIB, 32 * GIB))
    assert not any(finding.is_certain for finding in sized(folder, with_swap, **four).findings)


@pytest.mark.parametrize("hardware", [Hardware(gpus=None), Hardware(gpus=(), ram=None)])
def test_a_machine_that_cannot_be_read_keeps_nothing_from_starting(hardware, folder):
    sizing = sized(folder, hardware, m=entry("q72"), e=entry("bge", engine="sentence_transformers", task="embedding"))
    assert sizing.findings == ()


@pytest.mark.parametrize("machine", MACHINES)
def test_a_model_that_is_not_known_keeps_nothing_from_starting(machine, folder):
    sizing = sized(folder, MACHINES[machine], m=entry("absent"), n={"options": {}}, o=entry("q7", options={"dtype": 1}))
    assert not any(finding.is_certain for finding in sizing.findings if finding.sentence.key != "sizing.gpu_shared")
    assert not any(fit.is_known for fit in sizing.fits)


def test_a_name_is_only_an_estimate(folder):
    (fit,) = sized(folder, LAPTOP, m=entry("Qwen2.5-72B-Instruct")).fits
    (finding,) = fit.findings
    assert finding.sentence.key == "sizing.smaller_on_gpu"
    assert not finding.is_certain
    (fit,) = sized(folder, LAPTOP, m=entry("Qwen2.5-7B-Instruct-AWQ")).fits
    assert fit.findings == ()


@pytest.mark.parametrize(
    "options",
    [
        {"arguments": ["--cpu-offload-gb", "100"]},
        {"worker_use_ray": True},
    ],
)
def test_what_these_formulas_do_not_see_is_never_beyond_doubt(options, folder):
    sizing = sized(folder, LAPTOP, m=entry("q72", options=options))
    assert sizing.findings
    assert not any(finding.is_certain for finding in sizing.findings)


def test_layers_may_move_to_main_memory(folder):
    offloading = sized(folder, LAPTOP, m=entry("q72", engine="transformers", options={"cpu_offloading": True}))
    assert not any(finding.is_certain for finding in offloading.findings)


def test_unlike_gpus_may_be_counted_otherwise(folder):
    """CUDA puts the fastest first; nvidia-smi goes by the bus."""
    small, large = gpus(1, 8188)[0], gpus(2, 81920)[1]
    sizing = sized(folder, Hardware(gpus=(small, large), ram=making.ROOMY), m=entry("q7", gpus="0"))
    assert keys(sizing) == ["quantise"]
    assert not sizing.findings[0].is_certain
    certain = sized(folder, Hardware(gpus=(small, large), ram=making.ROOMY), m=entry("q72", gpus="0"))
    assert certain.findings[0].is_certain


def test_an_incomplete_folder(tmp_path):
    write_model(tmp_path / "q", making.QWEN25_7B)
    (tmp_path / "q" / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (finding,) = sized(tmp_path, H100, m=entry("q")).findings
    assert finding.is_certain
    assert "missing or cut short: model.safetensors" in finding.sentence.render("en")


def test_a_quantised_model_on_a_small_card(tmp_path):
    config = {**making.QWEN25_7B, **AWQ}
    tensors = making.tensors_of({**making.QWEN25_7B, "num_hidden_layers": 0})
    made = tmp_path / "awq"
    inner = 28 * (2 * 3584 * 128 * 32 + 3 * 3584 * 18944) // 8
    making.write_safetensors(made / "model.safetensors", {**tensors, "model.layers.qweight": ("I32", (inner, 1))})
    (made / "config.json").write_text(json.dumps(config), encoding="utf-8")
    fit = only(tmp_path, LAPTOP, "awq", options={"max_num_seqs": 16, "enforce_eager": True})
    assert fit.findings == ()
    assert fit.load.weights_bytes is not None
    assert fit.load.weights_bytes / GIB == pytest.approx(5.2, rel=0.05)
    assert fit.load.int4_bytes is None


def test_models_without_weights_are_named(folder):
    sizing = sized(folder, L40, m=entry("q7"), far={"engine": "openai_compatible"}, echo={"engine": "echo"})
    assert sizing.idle == ("far", "echo")
    assert len(sizing.fits) == 1


CARDS = st.integers(4_000, 100_000)
CHOSEN = st.sampled_from(sorted(CONFIGS))


@settings(max_examples=30, deadline=None)
@given(CHOSEN, CARDS, st.integers(0, 50_000), st.sampled_from([1, 2, 4]), st.sampled_from(["vllm", "transformers"]))
def test_more_memory_never_fits_less(folder, path, mib, more, count, engine):
    options = {"vllm": {"tensor_parallel_size": count, "max_num_seqs": 64}, "transformers": {"num_gpus": count}}[engine]
    small, large = (Hardware(gpus=gpus(count, size), ram=making.ROOMY) for size in (mib, mib + more))
    before, after = (only(folder, machine, path, engine=engine, options=options) for machine in (small, large))
    assert (after.room_bytes or 0) >= (before.room_bytes or 0)
    assert (after.longest or 0) >= (before.longest or 0)
    assert len(after.findings) <= len(before.findings)
    assert not any(finding.is_certain for finding in after.findings) or any(f.is_certain for f in before.findings)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 40), CARDS)
def test_the_room_falls_when_the_weights_grow(tmp_path_factory, layers, more, mib):
    made = tmp_path_factory.mktemp("growing")
    shape = {**making.QWEN3_8B, "max_position_embeddings": 4096}
    write_model(made / "light", {**shape, "num_hidden_layers": layers})
    write_model(made / "heavy", {**shape, "num_hidden_layers": layers + more})
    machine = Hardware(gpus=gpus(1, mib), ram=making.ROOMY)
    light, heavy = (only(made, machine, path) for path in ("light", "heavy"))
    assert (heavy.room_bytes or 0) <= (light.room_bytes or 0)
    assert len(heavy.findings) >= len(light.findings)
