import pytest

from services.api.knowledge.loaders.reading.cleaning import clean, clean_code, clean_line, join_lines


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("\u2f42件", "文件"),
        ("\u2ec5\u2ed3", "见长"),
        ("ＡＢＣ１２３", "ABC123"),
        ("你好，世界！（是）", "你好，世界！（是）"),
        ("a\x00b\u200bc\u202ed\U000e0041", "abcd"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\n \n\t\n\n\nb", "a\n\nb"),
        ("a \u3000\xa0 b", "a b"),
        ("\ud800ok", "ok"),
        ("e" + "\u0301" * 1000, "é" + "\u0301" * 7),
    ],
)
def test_clean(raw, cleaned):
    assert clean(raw) == cleaned


def test_code_keeps_its_indentation():
    assert clean_code("def f():\r\n\treturn １\x00") == "def f():\n    return 1"


@pytest.mark.parametrize(
    ("lines", "joined"),
    [
        (["构建和发展", "劳动关系"], "构建和发展劳动关系"),
        (["a long", "line"], "a long line"),
        (["retrie-", "val works"], "retrieval works"),
        (["in 2019-", "2020"], "in 2019- 2020"),
        (["使用", "Python"], "使用Python"),
        (["", " x ", ""], "x"),
    ],
)
def test_join_lines(lines, joined):
    assert join_lines(lines) == joined


def test_one_line():
    assert clean_line("第一\n行") == "第一行"
