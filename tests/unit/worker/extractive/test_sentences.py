import pytest

from services.worker.engines.extractive.language.sentences import Shape, prose, split


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("他说：“走吧。”我们走了！真的？", ["他说：“走吧。”", "我们走了！", "真的？"]),
        ("价格是3.14元；数量为2……完。", ["价格是3.14元；", "数量为2……", "完。"]),
        ("版本2.0.1发布。How are you? Fine.", ["版本2.0.1发布。", "How are you?", "Fine."]),
    ],
)
def test_chinese(text: str, expected: list[str]) -> None:
    assert prose(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith paid $3.50. He left.", ["Dr. Smith paid $3.50.", "He left."]),
        ("The U.S. Army came. It won.", ["The U.S. Army came.", "It won."]),
        ("He lived in the U.S. The end came.", ["He lived in the U.S.", "The end came."]),
        ("See No. 5 and Fig. 2 by J. R. Smith. Done!", ["See No. 5 and Fig. 2 by J. R. Smith.", "Done!"]),
        ('"Stop!" He ran, e.g. Apples fell.', ['"Stop!"', "He ran, e.g. Apples fell."]),
        ("It ended at 5 p.m. on Friday", ["It ended at 5 p.m. on Friday"]),
    ],
)
def test_english(text: str, expected: list[str]) -> None:
    assert prose(text) == expected


def test_table_rows_carry_their_header() -> None:
    rows = split("| 城市 | 人口 |\n|---|---|\n| 北京 | 2189万 |\n| 上海 | |")
    assert [(row.text, row.shape) for row in rows] == [
        ("城市: 北京；人口: 2189万", Shape.ROW),
        ("城市: 上海", Shape.ROW),
    ]


def test_table_without_header_and_uneven_rows() -> None:
    assert [row.text for row in split("| a | b |\n| c | d |")] == ["a; b", "c; d"]
    assert [row.text for row in split("| h | k |\n|--|--|\n| a | b | c |")] == ["a; b; c"]


def test_lists_headings_and_pairs() -> None:
    found = split("# 制度\n- 第一条\n- 第二条。附注。\n1. 登录\n姓名: 张三\n年龄: 三十")
    assert [sentence.text for sentence in found] == [
        "制度",
        "第一条",
        "第二条。",
        "附注。",
        "1. 登录",
        "姓名: 张三",
        "年龄: 三十",
    ]
    assert found[0].shape is Shape.HEADING
    assert {sentence.shape for sentence in found[1:]} == {Shape.ITEM}


def test_lines_broken_by_the_page_are_joined() -> None:
    assert [s.text for s in split("这是一行被页面宽度折断的中文文字内\n容。\n\n另一段")] == [
        "这是一行被页面宽度折断的中文文字内容。",
        "另一段",
    ]
    assert [s.text for s in split("A line that the page has broken\nin two. Next.")] == [
        "A line that the page has broken in two.",
        "Next.",
    ]


def test_lines_without_words_are_dropped() -> None:
    assert split("-----\n***\n\n。") == []
