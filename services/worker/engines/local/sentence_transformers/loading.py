"""Finds a model's folder and makes the network that runs it. Called by the engine, in the model's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.foundation.errors import InvalidSetting
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.instructions import Instructions, instructions_for
from services.worker.engines.local.sentence_transformers.devices import chosen_device, chosen_dtype, loaded
from services.worker.engines.local.sentence_transformers.general import GeneralNetwork, open_stack
from services.worker.engines.local.sentence_transformers.layout import PlainLayout, matryoshka_dimensions, plain_layout
from services.worker.engines.local.sentence_transformers.network import Network
from services.worker.engines.local.sentence_transformers.openvino_network import OpenVINONetwork, open_openvino
from services.worker.engines.local.sentence_transformers.options import SentenceTransformersOptions
from services.worker.engines.local.sentence_transformers.plain import PlainNetwork, open_model, open_tokenizer
from services.worker.engines.local.weights import find_weights
from services.worker.engines.options import option_path

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to embed.

    Attributes:
        network: runs it.
        device: where.
        shorter: lengths its vectors may be cut to; None: any.
    """

    network: Network
    device: str
    shorter: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class _Plan:
    spec: EngineSpec
    options: SentenceTransformersOptions
    folder: Path
    instructions: Instructions


def load_network(spec: EngineSpec, options: SentenceTransformersOptions) -> Loaded:
    """Find the weights and load them. Blocks.

    Raises:
        InvalidSetting: the weights are nowhere or unsafe, the device is absent, an option does not fit the model.
        MissingPackage: the back end is not installed.
        OutOfMemory: the weights do not fit.
        EngineFailed: they cannot be loaded.
    """
    folder = find_weights(spec, options.path, trust_remote_code=options.trust_remote_code)
    if folder.is_file():
        reason = f"{folder} is a GGUF file, which this engine does not read; serve it with llama.cpp or Ollama"
        raise InvalidSetting(setting=option_path(spec, "path"), reason=reason)
    instructions = instructions_for(folder, (options.path, spec.model), options.asked_instructions)
    plan = _Plan(spec, options, folder, instructions)
    network, device, manner = _opened(plan, plain_layout(folder))
    log.info("%s: %s, %d dimensions, texts cut at %d tokens", folder, manner, network.dimensions, network.max_tokens)
    log.info(
        "%s: before a query %r, before a passage %r, for: %s",
        spec.model,
        instructions.query,
        instructions.passage,
        instructions.reason,
    )
    return Loaded(network, device, matryoshka_dimensions(folder))


def _opened(plan: _Plan, layout: PlainLayout | None) -> tuple[Network, str, str]:
    """The network, its device, and how it runs, for the log."""
    options = plan.options
    if options.backend == "openvino":
        return _on_openvino(plan, layout)
    import torch

    device = chosen_device(plan.spec, options.device)
    dtype = chosen_dtype(options.dtype, device, torch.cpu.get_capabilities())
    how: Callable[[], Network] = (
        (lambda: _general(plan, device, dtype)) if layout is None else (lambda: _plain(plan, layout, device, dtype))
    )
    manner = f"{dtype} on {device}, {'by sentence-transformers' if layout is None else f'{layout.pooling} pooling'}"
    return loaded(plan.spec, str(plan.folder), how), device, manner


def _plain(plan: _Plan, layout: PlainLayout, device: str, dtype: str) -> Network:
    tokenizer = open_tokenizer(layout).cut_at(plan.options.max_tokens)
    model = open_model(layout, dtype)
    if device != "cpu":
        module: torch.nn.Module = model
        module.to(device)
    return PlainNetwork(model, tokenizer, tokenizer.reader(plan.instructions), layout.pooling)


def _general(plan: _Plan, device: str, dtype: str) -> Network:
    trusts = plan.options.trust_remote_code
    model = open_stack(plan.folder, device, dtype, trust_remote_code=trusts)
    return GeneralNetwork(model, plan.instructions, plan.options.max_tokens)


def _on_openvino(plan: _Plan, layout: PlainLayout | None) -> tuple[Network, str, str]:
    spec, options = plan.spec, plan.options
    if layout is None or options.device not in {"cpu", "auto"}:
        what = (
            f"device {options.device}" if layout is not None else "this model: it is not a plain encoder with pooling"
        )
        reason = f"OpenVINO is not for {what}; leave the option out"
        raise InvalidSetting(setting=option_path(spec, "backend"), reason=reason)

    def opened() -> Network:
        compiled, folder = open_openvino(layout, Path(options.openvino_cache), spec.model, options.dtype)
        return OpenVINONetwork(compiled, folder, plan.instructions, options.max_tokens)

    network = loaded(spec, str(plan.folder), opened)
    return network, "cpu", f"{options.dtype} on OpenVINO, {layout.pooling} pooling"
