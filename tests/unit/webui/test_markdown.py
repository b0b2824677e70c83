"""What others wrote cannot become a link, an image, HTML or a diagram."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from webui.markdown import inert, plain

# What Streamlit would make of it: CommonMark with GFM, HTML included.
STREAMLIT = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
AUTOLINK = re.compile(r"https?://|www\.", re.IGNORECASE)
LIVE = {"link_open", "image", "html_inline", "html_block"}

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "[x](javascript:alert(1))",
    "![a](http://canary.example/?q=secret)",
    "[a](http://canary.example/)",
    "![a][r]\n\n[r]: http://canary.example/x.png",
    "[r]\n\n[r]: http://canary.example/ 'title'",
    "<http://canary.example/>",
    "https://canary.example/x",
    "www.canary.example",
    "a [![b](http://canary.example/i.png)](http://canary.example/l) c",
    "- a\n  ```\n![x](http://canary.example/x.png)",
    "<div>\n```\n</div>\n\n![x](http://canary.example/x.png)\n```",
    "> ```\n![x](http://canary.example/x.png)",
    "| a |\n|---|\n| ![x](http://canary.example/x.png) |",
    "`` ` `` ![x](http://canary.example/x.png)",
    "**![x](http://canary.example/x.png)**",
    "1. a\n\n   ![x](http://canary.example/x.png)",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "\\![x](http://canary.example/x.png) \\\\![y](http://canary.example/y.png)",
    ":red[![x](http://canary.example/x.png)]",
    "&lt;img src=x&gt; &#60;b&#62;",
]


def live_parts(markdown: str) -> list[str]:
    found: list[str] = []
    for block in STREAMLIT.parse(markdown):
        found += [
            f"{token.type}: {token.content}"
            for token in [block, *(block.children or [])]
            if token.type in LIVE or (token.type == "text" and AUTOLINK.search(token.content))
        ]
    return found


def test_the_attacks_are_live_where_nothing_is_done() -> None:
    refused_anyway = {"[x](javascript:alert(1))", "&lt;img src=x&gt; &#60;b&#62;"}
    assert {attack for attack in ATTACKS if not live_parts(attack)} == refused_anyway


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_live_comes_out(attack: str) -> None:
    assert live_parts(inert(attack)) == []
    assert live_parts(plain(attack)) == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_prefix_of_a_stream_is_live(attack: str) -> None:
    for end in range(len(attack)):
        assert live_parts(inert(attack[:end])) == []


@given(st.text(alphabet="ab!<>[]()`~*_#-+.:/\\|$&\n \t1" + "链", max_size=80))
def test_no_text_is_live(text: str) -> None:
    assert live_parts(inert(f"{text}![x](http://e.example)")) == []
    assert live_parts(plain(f"{text}![x](http://e.example)")) == []


def test_a_diagram_is_shown_as_code() -> None:
    assert inert("```mermaid\ngraph TD; A-->B\n```").startswith("```text\n")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("**重点**", "<strong>重点</strong>"),
        ("*a* and ~~b~~", "<em>a</em>"),
        ("`a|b`", "<code>a|b</code>"),
        ("```python\nx[0](1)\n```", '<code class="language-python">x[0](1)'),
        ("- a\n- b\n  - c", "<li>c</li>"),
        ("3. a\n4. b", '<ol start="3">'),
        ("> quoted", "<blockquote>"),
        ("| a | b |\n|---|---|\n| 1 | `x\\|y` |", "<code>x|y</code>"),
        ("# Title", "<h4>Title</h4>"),
        ("a\nb", "<br />"),
        ("---", "<hr />"),
        ("见[1]和[2]。", "见[1]和[2]。"),
        ("[官网](https://example.com/a_b)", "官网 (<code>https://example.com/a_b</code>)"),
        ("1 < 2 & 3 > 2", "1 &lt; 2 &amp; 3 &gt; 2"),
        ("costs $5 and $6", "costs $5 and $6"),
    ],
)
def test_formatting_survives(written: str, kept: str) -> None:
    assert kept in STREAMLIT.render(inert(written))


@pytest.mark.parametrize("text", ["# not a title", "1. no list", "*a* _b_ `c`", "a:red[b]", "- x", "<b>", "价格：5 元"])
def test_plain_shows_the_text_itself(text: str) -> None:
    shown = STREAMLIT.parseInline(plain(text))[0].children or []
    assert "".join(token.content for token in shown) == text
    assert [token.type for token in STREAMLIT.parse(plain(text))] == ["paragraph_open", "inline", "paragraph_close"]
