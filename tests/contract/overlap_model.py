"""A reranker whose weights are set by hand, so that the document that shares most words with the query wins.

A random model cannot be asked for sense. In this one each word looks for itself in the other text (first layer), and
the pair's relevance is the share of the document's words that found themselves (second layer).
"""

from __future__ import annotations

from pathlib import Path

from tests.tiny_models import VOCABULARY, _transformers, make_rerank_model

_WORD = 128  # of the hidden numbers: who a token is
_SIDE, _OTHER_SIDE, _FOUND, _SHARE = 128, 129, 130, 131
_SIZE = 192


def make_overlap_model(folder: Path) -> Path:
    """The tokenizer of `make_rerank_model` with other weights."""
    if (folder / "overlap").is_file():
        return folder
    import torch

    transformers = _transformers()
    make_rerank_model(folder)
    config = transformers.BertConfig(
        num_labels=1,
        vocab_size=VOCABULARY,
        hidden_size=_SIZE,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=1,
        max_position_embeddings=256,
    )
    model = transformers.BertForSequenceClassification(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.fill_(1.0 if "LayerNorm.weight" in name else 0.0)
        _embed(model.bert.embeddings)
        first, second = (layer.attention for layer in model.bert.encoder.layer)
        _look_for_itself(first)
        _count(second)
        model.bert.pooler.dense.weight[0, _SHARE] = 1.0
        model.classifier.weight[0, 0] = 5.0
    model.save_pretrained(folder)
    (folder / "overlap").touch()
    return folder


def _embed(embeddings) -> None:
    """Each token a direction of its own and equal length, each side of the pair its sign; the mean is nought."""
    import torch

    signs = torch.randint(0, 2, (VOCABULARY, _WORD // 2), generator=torch.Generator().manual_seed(7)) * 2.0 - 1
    embeddings.word_embeddings.weight[:, : _WORD // 2] = signs
    embeddings.word_embeddings.weight[:, _WORD // 2 : _WORD] = -signs
    for side, sign in ((0, 1.0), (1, -1.0)):
        embeddings.token_type_embeddings.weight[side, _SIDE] = sign
        embeddings.token_type_embeddings.weight[side, _OTHER_SIDE] = -sign


def _look_for_itself(attention) -> None:
    """Attend to the same word on the other side; failing that, to itself. What is found says which side it is on."""
    for place in range(_WORD):
        attention.self.query.weight[place, place] = 3.0
        attention.self.key.weight[place, place] = 1.0
    attention.self.query.weight[_SIDE, _SIDE] = -60.0
    attention.self.key.weight[_SIDE, _SIDE] = 1.0
    attention.self.value.weight[_FOUND, _SIDE] = 1.0
    attention.output.dense.weight[_FOUND, _FOUND] = 1.0


def _count(attention) -> None:
    """The mean of what the document's words have found: +1 for the query's side, -1 for themselves."""
    attention.self.query.bias[_SIDE] = -60.0
    attention.self.key.weight[_SIDE, _SIDE] = 1.0
    attention.self.value.weight[_FOUND, _FOUND] = 1.0
    attention.output.dense.weight[_SHARE, _FOUND] = 1.0
