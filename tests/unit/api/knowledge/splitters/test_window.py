"""The embedder's window: counting, the estimate, and passages that fit whatever the tokenizer is like."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from services.api.domain.knowledge import Document, Passage, Place, Section
from services.api.knowledge.splitters import SPLITTERS
from services.api.knowledge.splitters.window.counting import (
    EstimatedCounter,
    TokenCounter,
    TokenizerCounter,
    counter_of,
    most_tokens,
)
from services.api.knowledge.splitters.window.fitting import Window
from services.foundation.errors import InvalidSetting
from tests.contract.splitter import TOKENIZER, dense_documents, dense_texts, reader

TRAINING = [
    "Chunks are passages that are indexed; tokenizers cut words into pieces.",
    "劳动合同由用人单位与劳动者协商一致，并经用人单位与劳动者在劳动合同文本上签字或者盖章生效。",
    "def encode(text: str) -> list[int]:\n    return tokenizer.encode(text).ids  # 0123456789",
]


@cache
def bytes_tokenizer() -> Tokenizer:
    """Byte-level BPE, as GPT's and Qwen's: an ideograph may be three tokens, and cuts may add some."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        TRAINING * 5, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    )
    return made


@cache
def pieces_tokenizer() -> Tokenizer:
    """SentencePiece's unigrams, as XLM-R's and bge-m3's: a mark before every word, compatible forms folded."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    made.train_from_iterator(TRAINING * 5, trainer)
    return made


KINDS = {"bytes": bytes_tokenizer, "pieces": pieces_tokenizer, "words": reader}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("tokenizers")
    for name, made in KINDS.items():
        made().save(str(folder / f"{name}.json"))
    return {name: str(folder / f"{name}.json") for name in KINDS}


@pytest.mark.parametrize("splitter", list(SPLITTERS))
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_passage_fits_whatever_the_tokenizer_is_like(files: dict[str, str], kind: str, splitter: str):
    @given(document=dense_documents, chunk_chars=st.integers(20, 300), window_tokens=st.integers(12, 120))
    @settings(max_examples=15, deadline=None)
    def fits(document: Document, chunk_chars: int, window_tokens: int) -> None:
        options: dict[str, Any] = {"tokenizer": files[kind], "window_tokens": window_tokens}
        passages = SPLITTERS.build(splitter, chunk_chars=chunk_chars, overlap_chars=0, **options).split(document)
        read = [len(KINDS[kind]().encode(passage.indexed_text)) for passage in passages]
        assert max(read, default=0) <= window_tokens
        letters = "".join(section.text for section in document.sections)
        assert len("".join("".join(passage.text for passage in passages).split())) >= len("".join(letters.split()))

    fits()


@given(text=dense_texts, tokens=st.integers(0, 60), kind=st.sampled_from([*KINDS, "estimate"]))
@settings(max_examples=200, deadline=None)
def test_a_counter_counts_and_reaches(text: str, tokens: int, kind: str):
    counter: TokenCounter = EstimatedCounter() if kind == "estimate" else TokenizerCounter(KINDS[kind]())
    (whole,) = counter.count([text])
    if kind != "estimate":
        assert whole == len(KINDS[kind]().encode(text, add_special_tokens=False))
        assert whole <= most_tokens(text)
    reach = counter.reach(text, tokens)
    assert 0 <= reach <= len(text)
    assert (reach == len(text)) or whole > tokens


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
@settings(max_examples=300, deadline=None)
def test_no_text_has_more_tokens_than_the_bound(text: str):
    for made in KINDS.values():
        assert len(made().encode(text, add_special_tokens=False)) <= most_tokens(text)


@pytest.mark.parametrize("text", ["a\ud800b", "\udfff" * 9])
def test_half_a_surrogate_is_a_character(text: str):
    counter = counter_of(str(TOKENIZER))
    assert counter.count([text])[0] >= 1
    assert counter.reach(text, 1) >= 1
    assert most_tokens(text) >= counter.count([text])[0]


def test_a_file_that_is_none_is_named(tmp_path: Path):
    with pytest.raises(InvalidSetting, match="absent"):
        counter_of(str(tmp_path / "absent.json"))
    (tmp_path / "broken.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InvalidSetting, match=r"broken\.json is no tokenizer"):
        counter_of(str(tmp_path / "broken.json"))


def test_a_vocabulary_counts_as_the_tokenizer_made_of_it(tmp_path: Path):
    vocabulary = TOKENIZER.with_name("vocab.txt")
    texts = ["Contract 合同, naïve CAFÉ", "第一章\nUNBELIEVABLE"]
    assert counter_of(str(vocabulary)).count(texts) == counter_of(str(TOKENIZER)).count(texts)
    assert counter_of(str(vocabulary)).special_tokens == counter_of(str(TOKENIZER)).special_tokens == 2
    (tmp_path / "vocab.txt").write_bytes(vocabulary.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}), encoding="utf-8")
    assert counter_of(str(tmp_path / "vocab.txt")).count(["UNBELIEVABLE"]) == [1]  # unknown: the vocabulary is lower


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("the internationalization", 8),
        ("劳动合同", 6),
        ("2024-01", 7),
        ("a\nb", 3),
        ("𠮷", 4),
        ("ไทย", 6),
        ("→", 3),
    ],
)
def test_the_estimate(text: str, tokens: int):
    assert EstimatedCounter().count([text]) == [tokens]


def test_a_heading_path_keeps_half_of_the_window_free():
    window = Window(str(TOKENIZER), 22)  # 20 of its own, 10 for the heading

    def shortened(*heading: str) -> tuple[str, ...]:
        (section,) = window.with_short_headings([Section("甲", Place(page=1, heading=heading))])
        assert section.place.page == 1
        return section.place.heading

    assert shortened("第一章", "第一节") == ("第一章", "第一节")
    assert shortened("第一章总则总则", "第一节") == ("第一节",)
    assert shortened("第一章", "第一节合同的订立和变更与解除") == ("第一节合同的订立和…",)
    assert shortened() == ()


def test_a_window_is_not_read_for_where_all_texts_surely_fit():
    passages = [Passage("short", Place(heading=("a",))), Passage("甲" * 100, Place())]
    assert Window("/no/such/file", 2000).fits(passages) == [True, True]
    with pytest.raises(InvalidSetting):
        Window("/no/such/file", 300).fits(passages)


def test_only_the_run_that_does_not_fit_is_cut_otherwise():
    prose = Section("The quick brown fox jumps over the lazy dog. " * 60, Place(page=1))
    dense = Section(" ".join(f"{number * 7919:08x}" for number in range(200)), Place(page=2))
    plain = SPLITTERS.build("sentences").split(Document((prose, dense)))
    fitted = SPLITTERS.build("sentences", tokenizer=str(TOKENIZER), window_tokens=256).split(Document((prose, dense)))
    assert [each for each in fitted if each.place.page == 1] == [each for each in plain if each.place.page == 1]
    assert len([each for each in fitted if each.place.page == 2]) > len(
        [each for each in plain if each.place.page == 2]
    )
