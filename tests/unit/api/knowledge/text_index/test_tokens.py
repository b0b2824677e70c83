"""Text → words and bigrams."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.api.knowledge.text_index.tokens import Tokenizer, bigrams_of, folded


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    made = Tokenizer()
    made.load()
    return made


def test_chinese_is_cut_into_words_and_bigrams(tokenizer):
    tokens = tokenizer.of_text("中国人民大学")
    assert set(tokens.words) >= {"中国", "大学", "中国人民大学"}
    assert tokens.bigrams == ("中国", "国人", "人民", "民大", "大学")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Databases", ("database",)),
        ("policies' company’s bus glass", ("policy", "company", "bus", "glass")),
        ("ＡＢ－12／3", ("ab-12/3", "ab", "12", "3")),
        ("ISO9001", ("iso9001", "iso", "9001")),
        ("v3.14", ("v3.14", "v", "3", "14")),
        ("1,234,567 元", ("1234567", "元")),
        ("C++ C#", ("c++", "c#")),
        ("don't", ("dont",)),
        ("Ⅳ ½", ("iv", "1", "2")),
        ("Привет", ("привет",)),
    ],
)
def test_words_are_normalised_and_codes_kept_whole(tokenizer, text, words):
    assert tokenizer.of_text(text).words == words


def test_kana_and_hangul_are_found_by_bigrams(tokenizer):
    assert tokenizer.of_text("東京タワー").bigrams == ("东京", "京タ", "タワ", "ワー")
    assert tokenizer.of_text("한국어").words == ()
    assert tokenizer.of_text("한국어").bigrams == ("한국", "국어")


def test_a_question_loses_its_stop_words_and_no_bigram_crosses_one(tokenizer):
    asked = tokenizer.of_query("请问食堂是多少号楼？")
    assert asked.words == ("食堂", "号楼")
    assert asked.bigrams == ("食堂", "号楼")
    assert tokenizer.of_query("what is the backup of the backup").words == ("backup",)


def test_a_question_of_nothing_but_stop_words_keeps_them(tokenizer):
    assert tokenizer.of_query("what is it").words == ("what", "is", "it")
    assert tokenizer.of_query("什么").words == ("什么",)


def test_endless_words_are_cut(tokenizer):
    assert [len(word) for word in tokenizer.of_text("x" * 5000).words] == [64]


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=200))
def test_no_token_holds_white_space_and_a_question_repeats_none(tokenizer, text):
    tokens, asked = tokenizer.of_text(text), tokenizer.of_query(text)
    every = [*tokens.words, *tokens.bigrams]
    assert all(token and token.split() == [token] for token in every)
    assert len(set(asked.words)) == len(asked.words)
    assert set(asked.words) <= set(tokens.words)


@pytest.mark.parametrize(
    ("traditional", "simple"),
    [("員工薪資發放", "员工薪资发放"), ("臺灣裡面", "台湾里面"), ("頭髮與發展", "头发与发展")],
)
def test_traditional_and_simple_characters_give_the_same_tokens(tokenizer, traditional, simple):
    assert tokenizer.of_text(traditional) == tokenizer.of_text(simple)
    assert tokenizer.of_query(traditional) == tokenizer.of_query(simple)
    assert bigrams_of(traditional) == bigrams_of(simple)


@given(text=st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF)), at=st.integers(0, 40))
def test_a_part_of_a_text_is_folded_as_the_whole_is(text, at):
    assert folded(text[:at]) + folded(text[at:]) == folded(text)
