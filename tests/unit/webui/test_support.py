"""Which sentences are marked, and what is said of them."""

from __future__ import annotations

import pytest

from services.clients.chatchat import AnswerSources
from services.wire.chatchat import CitationBody, SupportBody
from webui.components.why import shown_support
from webui.i18n import texts_in
from webui.markdown import inert
from webui.state import Turn
from webui.support import SIGNS, count_of, doubtful, line_of, marks_of, prose_of, shortened

ZH, EN = texts_in("zh-CN"), texts_in("en")
ANSWER = "年假有五天。[1] 可以累积。[2]\n\n病假不限。"


def sentence(text: str, support: str, share: float = 1.0, cited: tuple[int, ...] = ()) -> SupportBody:
    known = {"text": text, "start": ANSWER.find(text), "cited": cited, "share": share, "support": support}
    return SupportBody.model_validate(known)


SUPPORT = (
    sentence("年假有五天。[1]", "supported", 0.99, (1,)),
    sentence("可以累积。[2]", "partly", 0.5, (2, 3)),
    sentence("病假不限。", "unsupported", 0.2),
)
CITATION = CitationBody(number=1, knowledge_base="b", file_name="f", excerpt="e", similarity=0.5, chunk_id="c", url="u")


def test_sentences_that_are_partly_or_not_supported_are_marked_each_in_its_way() -> None:
    written = inert(ANSWER, marks_of(SUPPORT))
    assert written == ("年假有五天。\\[1\\] 可以累积。\\[2\\]\u00a0:orange[◐]\n\n病假不限。\u00a0:red[○]")
    assert len({sign.partition("[")[2] for sign in SIGNS.values()}) == len(SIGNS)  # told apart without their colour
    assert doubtful(SUPPORT) == list(SUPPORT[1:])


def test_an_answer_without_passages_is_not_compared_with_any() -> None:
    sources = AnswerSources((), "q", support=SUPPORT)
    assert shown_support(Turn("q", ANSWER, (), sources=sources)) == ()
    assert shown_support(Turn("q", ANSWER, (CITATION,), sources=sources)) == SUPPORT
    assert shown_support(Turn("q", ANSWER, (CITATION,))) == ()


def test_code_and_titles_are_no_sentences() -> None:
    answer = "# 年假\n\n```\nx = 1\n```\n\n| 天数 |\n| --- |\n| 五天 |\n\n完。"
    known = {"cited": (), "share": 0.0, "support": "unsupported"}
    support = [
        SupportBody.model_validate({"text": text, "start": answer.index(text), **known})
        for text in ("# 年假", "x = 1", "| 天数 |", "| 五天 |", "完。")
    ]
    assert [sentence.text for sentence in prose_of(answer, support)] == ["| 五天 |", "完。"]
    assert prose_of("", support) == ()


def test_counts_and_shares_in_words() -> None:
    assert count_of(SUPPORT, EN) == "Sentences: 3. Found: 1, partly: 1, not found: 1."
    assert line_of(SUPPORT[1], ZH) == "可以累积。[2]（50% 的用词见于 [2][3]）"
    assert line_of(SUPPORT[2], EN) == "病假不限。 (cites nothing; 20% of its words are in the passages)"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n b", "a b"),
        ("字" * 80, "字" * 80),
        ("字" * 81, "字" * 80 + "…"),
        ("- **a** b", "a b"),
        ("| 1 | `a` |", "1 a"),
        ("> 12. -5 °C", "-5 °C"),
    ],
)
def test_a_sentence_in_short(text: str, line: str) -> None:
    assert shortened(text) == line
