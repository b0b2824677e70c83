"""PlainNetwork: an encoder with pooling, on torch, without sentence-transformers. Made by `loading.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.worker.engines.local.instructions import Instructions
from services.worker.engines.local.sentence_transformers.layout import PlainLayout, Pooling
from services.worker.engines.local.sentence_transformers.network import Encoded, Reading, Text, encode
from services.worker.engines.local.sentence_transformers.reading import Features, Reader

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class PlainTokenizer:
    """A model's tokenizer, and what is known of it.

    Attributes:
        tokenizer: pads and cuts.
        inputs: names of what the network takes.
        unknown_id: of the token for what it does not know.
        max_tokens: where it cuts.
    """

    tokenizer: Tokenizer
    inputs: tuple[str, ...]
    unknown_id: int | None
    max_tokens: int

    def cut_at(self, asked: int | None) -> PlainTokenizer:
        """The same, cutting at `asked` if that is earlier."""
        longest = min(self.max_tokens, asked or self.max_tokens)
        self.tokenizer.enable_truncation(max_length=longest)
        return PlainTokenizer(self.tokenizer, self.inputs, self.unknown_id, longest)

    def reader(self, instructions: Instructions) -> Reader:
        """What reads with it."""
        return Reader(self.tokenizer, self.inputs, self.unknown_id, instructions)


def open_tokenizer(layout: PlainLayout) -> PlainTokenizer:
    """The tokenizer as transformers builds it: its configuration may change what tokenizer.json says."""
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(layout.root, local_files_only=True, trust_remote_code=False)
    made = AutoTokenizer.from_pretrained(layout.root, local_files_only=True, trust_remote_code=False)
    tokenizer: Tokenizer = made.backend_tokenizer
    tokenizer.enable_padding(
        direction=made.padding_side,
        pad_id=made.pad_token_id,
        pad_type_id=made.pad_token_type_id,
        pad_token=made.pad_token,
    )
    longest = layout.max_tokens or min(made.model_max_length, config.max_position_embeddings)
    return PlainTokenizer(tokenizer, tuple(made.model_input_names), made.unk_token_id, longest).cut_at(None)


def open_model(layout: PlainLayout, dtype: str) -> PreTrainedModel:
    """The transformer, in evaluation mode, on the CPU."""
    import torch
    from transformers import AutoModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # it writes into the log
    model: PreTrainedModel = AutoModel.from_pretrained(
        layout.root, local_files_only=True, trust_remote_code=False, dtype=getattr(torch, dtype)
    )
    network: torch.nn.Module = model
    network.eval()
    return model


def pooled(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """One vector a text, in float32."""
    if pooling == "cls":
        return hidden[:, 0].float()
    weights = mask.unsqueeze(-1).float()
    return (hidden.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)


class PlainNetwork:
    """Runs an encoder. Implements `Network`."""

    def __init__(self, model: PreTrainedModel, tokenizer: PlainTokenizer, reader: Reader, pooling: Pooling) -> None:
        self._model = model
        self._reader = reader
        self._pooling: Pooling = pooling
        self.dimensions: int = model.config.hidden_size
        self.max_tokens = tokenizer.max_tokens
        # On the CPU neither the forward pass nor the tokenizer, its padding set for good, changes anything shared.
        self.is_concurrent: bool = model.device.type == "cpu"

    def encode(self, kind: str, batch: Sequence[Text]) -> list[Encoded]:
        return encode(self, kind, batch)

    def read(self, texts: Sequence[str], kind: str) -> Reading[Features]:
        return self._reader.read(texts, kind)

    def vectors(self, features: Features) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            inputs = {name: torch.from_numpy(rows).to(self._model.device) for name, rows in features.items()}
            hidden = self._model(**inputs).last_hidden_state
            found: NDArray[np.float32] = pooled(hidden, inputs["attention_mask"], self._pooling).cpu().numpy()
        return found
