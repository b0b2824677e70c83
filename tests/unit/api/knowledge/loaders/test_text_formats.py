"""Plain text, Markdown, HTML, CSV."""

import contextlib

import pytest

from services.foundation.errors import EmptyFile, UnreadableFile
from tests.unit.api.knowledge.loaders.making import load, texts, written


def test_plain_paragraphs_and_numbered_titles(tmp_path):
    document = load(
        written(tmp_path / "a.txt", "第一章 总则\n第一条 为了完善制度。\n\n第二章 订立\n第七条 建立关系。\n")
    )
    assert [(s.text, s.place.heading) for s in document.sections] == [
        ("第一章 总则", ("第一章 总则",)),
        ("第一条 为了完善制度。", ("第一章 总则",)),
        ("第二章 订立", ("第二章 订立",)),
        ("第七条 建立关系。", ("第二章 订立",)),
    ]


def test_plain_english_is_unwrapped(tmp_path):
    lines = [
        "It was a bright cold day in April, and the clocks were striking thirteen, as",
        "they always did; he smiled.",
    ]
    assert texts(load(written(tmp_path / "a.txt", "\n".join(lines)))) == [" ".join(lines)]


MARKDOWN = """---
title: 手册
---
# 安装

看[文档](http://x/y)和![示意图](a.png)。<b>粗</b><script>alert(1)</script>

## 步骤

1. 下载
2. 运行
   - 双击

| 键 | 值 |
|----|----|
| 端口 | 7861 |

```python
def f():
    return 1
```
"""


def test_markdown(tmp_path):
    document = load(written(tmp_path / "a.md", MARKDOWN))
    found = {section.text: section for section in document.sections}
    assert "看文档和示意图。粗alert(1)" in found
    assert found["1. 下载\n2. 运行\n- 双击"].place.heading == ("手册", "安装", "步骤")
    table = found["| 键 | 值 |\n| --- | --- |\n| 端口 | 7861 |"]
    assert table.whole
    assert found["def f():\n    return 1"].whole


def test_markdown_headings_without_text_stand_above_what_follows(tmp_path):
    document = load(written(tmp_path / "a.md", "# 一\n## 二\n正文\n"))
    assert [(s.text, s.place.heading) for s in document.sections] == [("一\n二", ("一", "二")), ("正文", ("一", "二"))]


@pytest.mark.timeout(20)
def test_markdown_of_brackets_takes_bounded_time(tmp_path):
    assert load(written(tmp_path / "a.md", "[" * 60_000 + "x")).sections


HTML = """<html><head><title>招生网</title><style>p{}</style></head><body>
<nav>菜单</nav><script>alert(1)</script><!-- 注释 --><p hidden>隐藏</p><p style="display: none">隐藏</p>
<h1>分数线</h1><p>2021<b>年度</b>说明</p>
<table><tr><th>专业</th><th>最低</th></tr><tr><td>国际政治</td><td>630</td></tr></table>
<pre>a
  b</pre><ul><li>甲</li><li>乙</li></ul></body></html>"""


def test_html(tmp_path):
    document = load(written(tmp_path / "a.html", HTML))
    assert texts(document) == [
        "招生网\n分数线",
        "2021年度说明",
        "| 专业 | 最低 |\n| --- | --- |\n| 国际政治 | 630 |",
        "a\n  b",
        "- 甲",
        "- 乙",
    ]
    assert {section.place.heading for section in document.sections} == {("招生网", "分数线")}


@pytest.mark.parametrize("tag", ["div", "table><tr><td", "b"])
@pytest.mark.timeout(30)
def test_deep_html_does_not_crash(tmp_path, tag):
    path = written(tmp_path / "a.html", f"<{tag}>" * 5000 + "text")
    with contextlib.suppress(UnreadableFile):
        assert load(path).sections


def test_html_that_calls_itself_xml_is_read(tmp_path):
    assert texts(load(written(tmp_path / "a.html", '<?xml version="1.0"?><p>段落</p>'))) == ["段落"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_dialects(tmp_path, delimiter):
    rows = [["名称", "数量"], ["茶", "3"], ["咖啡", "4"]]
    document = load(written(tmp_path / "a.csv", "\n".join(delimiter.join(row) for row in rows)))
    assert texts(document) == ["| 名称 | 数量 |\n| --- | --- |\n| 茶 | 3 |\n| 咖啡 | 4 |"]
    assert (document.sections[0].place.row, document.sections[0].place.last_row) == (2, 3)


def test_csv_quotes_and_line_ends_in_cells(tmp_path):
    document = load(written(tmp_path / "a.csv", 'id,text\n1,"a, b\nc ""d"""\n'))
    assert texts(document)[0].endswith('| 1 | a, b c "d" |')


def test_csv_with_a_quote_that_never_closes(tmp_path):
    assert load(written(tmp_path / "a.csv", 'a,b\n"' + "x,y\n" * 50_000)).sections


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.txt", b"\xef\xbb\xbf", EmptyFile),
        ("a.md", "# \n\n---\n\u200b\n", EmptyFile),
        ("a.csv", b"\x1f\x8b\x08" + bytes(20), UnreadableFile),
        ("a.txt", b"MZ\x90\x00\x03" + bytes(100), UnreadableFile),
        ("a.html", b"%PDF-1.4\n", UnreadableFile),
    ],
)
def test_refused(tmp_path, name, content, kind):
    with pytest.raises(kind):
        load(written(tmp_path / name, content))
