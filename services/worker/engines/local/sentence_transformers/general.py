"""GeneralNetwork: any model that sentence-transformers can run, as the library runs it. Made by `loading.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from services.worker.engines.local.instructions import Instructions
from services.worker.engines.local.sentence_transformers.network import Encoded, Reading, Text, encode

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    Inputs: TypeAlias = dict[str, torch.Tensor | str | int]

Features: TypeAlias = "tuple[Inputs, Mapping[str, str]]"

_TASKS: Mapping[str, str] = {"query": "query", "passage": "document"}
_NO_LIMIT = 1_000_000


def open_stack(folder: Path, device: str, dtype: str, *, trust_remote_code: bool) -> SentenceTransformer:
    """The model with all its modules, on its device."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # it writes into the log
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    weights = {"dtype": getattr(torch, dtype)}
    model = SentenceTransformer(str(folder), device=device, model_kwargs=weights, **options)
    model.eval()
    return model


class GeneralNetwork:
    """Runs a whole stack of modules. Implements `Network`.

    `encode` of the library itself is not called: for a short text it spends as long on looking after the model's
    parameters as on tokenising.
    """

    is_concurrent = False  # modules of any kind

    def __init__(self, model: SentenceTransformer, instructions: Instructions, max_tokens: int | None) -> None:
        own = model.max_seq_length
        limit = min(each for each in (own, max_tokens, _NO_LIMIT) if each is not None)
        if own is not None and limit < own:
            model.max_seq_length = limit
        self._model = model
        self._instructions = instructions
        self._own_tokens = {kind: self._counted(instructions.before(kind)) for kind in ("", *_TASKS)}
        self.max_tokens = limit
        self.dimensions = self.vectors(self.read(["a"], "").features).shape[1]

    def encode(self, kind: str, batch: Sequence[Text]) -> list[Encoded]:
        return encode(self, kind, batch)

    def read(self, texts: Sequence[str], kind: str) -> Reading[Features]:
        options = {"task": _TASKS[kind]} if kind in _TASKS else {}
        instruction = self._instructions.before(kind)
        inputs: Inputs = self._model.preprocess(list(texts), prompt=instruction or None, **options)
        tokens, unknown = self._measured(inputs, len(texts))
        own, own_unknown = self._own_tokens[kind]
        shares = [
            min(1.0, max(0, missed - own_unknown) / (count - own)) if count > own else 0.0
            for count, missed in zip(tokens, unknown, strict=True)
        ]
        return Reading((inputs, options), tokens, shares)

    def vectors(self, features: Features) -> NDArray[np.float32]:
        import torch

        given, options = features
        device = self._model.device
        with torch.inference_mode():
            inputs = {
                name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in given.items()
            }
            rows: torch.Tensor = self._model(inputs, **options)["sentence_embedding"]
            found: NDArray[np.float32] = rows[:, : self._model.truncate_dim].float().cpu().numpy()
        return found

    def _measured(self, inputs: Inputs, count: int) -> tuple[list[int], list[int]]:
        """Tokens of each text, and those unknown to the model."""
        mask = cast("torch.Tensor | None", inputs.get("attention_mask"))
        identifiers = cast("torch.Tensor", inputs["input_ids"])
        if mask is None:  # models without a transformer: all texts in one row, and where each begins
            ends = [*cast("torch.Tensor", inputs["offsets"]).tolist(), len(identifiers)]
            return [ends[place + 1] - ends[place] for place in range(count)], [0] * count
        unknown_id = getattr(self._model.tokenizer, "unk_token_id", None)
        unknown = [0] * count if unknown_id is None else ((identifiers == unknown_id) & (mask == 1)).sum(1).tolist()
        return mask.sum(1).tolist(), unknown

    def _counted(self, instruction: str) -> tuple[int, int]:
        """Tokens, and unknown ones, that are not a text's own: special ones, and those of the instruction."""
        tokens, unknown = self._measured(self._model.preprocess([""], prompt=instruction or None), 1)
        return tokens[0], unknown[0]
