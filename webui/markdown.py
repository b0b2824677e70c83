"""Text of others made inert for Streamlit's Markdown: `inert` keeps the formatting of an answer, `plain` keeps none.

An answer is parsed and written anew, so that the output holds only what this module writes: no HTML, no link, no image,
no diagram, no Streamlit directive. Nothing in an answer can make the browser ask another host for anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from webui.marks import MARK, Mark, place

_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
# Streamlit makes links of bare addresses even where their punctuation is escaped, but never inside code.
_ADDRESS = re.compile(
    r"(?:https?://|www\.)[^\s<>\u3000-\u303f\uff00-\uff5e]*|[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.IGNORECASE
)
_LANGUAGE = re.compile(r"[A-Za-z0-9+#-]{1,20}")
_DRAWN = {"mermaid", "math", "latex", "katex"}
_MARKS = {"em": "*", "strong": "**", "s": "~~"}


def plain(text: str) -> str:
    """`text` on one line, shown as it is: for labels, sentences and captions."""
    return _escaped(" ".join(text.split()))


def inert(markdown: str, marks: Sequence[Mark] = ()) -> str:
    """`markdown` with its formatting and with our marks, but with links and images as their text and address."""
    tokens = _parsed(markdown)
    place(tokens, markdown, marks)
    return "\n".join(_blocks(SyntaxTreeNode(tokens).children, gap=True))


def marked_in(markdown: str, marks: Sequence[Mark]) -> set[Mark]:
    """The marks that `inert` would write: those that stand neither in code nor in a title."""
    return place(_parsed(markdown), markdown, marks)


def _parsed(markdown: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).parse(markdown)


def _escaped(text: str) -> str:
    written, end = [], 0
    for address in _ADDRESS.finditer(text):
        written += [_PUNCTUATION.sub(r"\\\g<0>", text[end : address.start()]), _code(address.group())]
        end = address.end()
    return "".join([*written, _PUNCTUATION.sub(r"\\\g<0>", text[end:])])


def _code(text: str) -> str:
    fence = "`" * (_longest_run(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def _blocks(nodes: Sequence[SyntaxTreeNode], *, gap: bool) -> list[str]:
    lines: list[str] = []
    for node in nodes:
        if lines and gap:
            lines.append("")
        lines.extend(_block(node))
    return lines


def _block(node: SyntaxTreeNode) -> list[str]:
    write = _BLOCKS.get(node.type)
    return write(node) if write is not None else [_escaped(" ".join(node.content.split()))]


def _heading(node: SyntaxTreeNode) -> list[str]:
    return [f"{'#' * min(6, int(node.tag[1]) + 3)} {_inline(node)}"]


def _quote(node: SyntaxTreeNode) -> list[str]:
    return [f"> {line}" for line in _blocks(node.children, gap=True)]


def _fence(node: SyntaxTreeNode) -> list[str]:
    mark = "`" * max(3, _longest_run(node.content) + 1)
    named = node.info.split()[0] if node.info.split() else ""
    language = named if _LANGUAGE.fullmatch(named) and named.lower() not in _DRAWN else "text"
    return [f"{mark}{language}", *node.content.rstrip("\n").split("\n"), mark]


def _list(node: SyntaxTreeNode) -> list[str]:
    lines: list[str] = []
    ordered = node.type == "ordered_list"
    number = int(node.attrs.get("start", 1))
    loose = any(not child.hidden for item in node.children for child in item.children if child.type == "paragraph")
    for item in node.children:
        mark = f"{number}. " if ordered else "- "
        first, *rest = _blocks(item.children, gap=_needs_gap(item, loose=loose)) or [""]
        lines.append(f"{mark}{first}")
        lines.extend(f"{' ' * len(mark)}{line}" if line else "" for line in rest)
        number += 1
    return lines


def _needs_gap(item: SyntaxTreeNode, *, loose: bool) -> bool:
    return loose or any(child.type not in {"paragraph", "bullet_list", "ordered_list"} for child in item.children)


def _table_rows(node: SyntaxTreeNode) -> Iterator[str]:
    rows = [row for part in node.children for row in part.children]
    for position, row in enumerate(rows):
        cells = [re.sub(r"(?<!\\)\|", r"\\|", _inline(cell)).replace("\n", " ") for cell in row.children]
        yield f"| {' | '.join(cells)} |"
        if position == 0:
            yield f"|{' --- |' * len(cells)}"


def _inline(node: SyntaxTreeNode) -> str:
    return "".join(_span(child) for child in node.children)


def _span(node: SyntaxTreeNode) -> str:
    if node.type in _MARKS:
        return f"{_MARKS[node.type]}{_inline(node)}{_MARKS[node.type]}"
    write = _SPANS.get(node.type)
    return write(node) if write is not None else _escaped(node.content)


def _with_address(text: str, address: str) -> str:
    shown = _code(address) if address else ""
    return shown if text == shown or not text else f"{text} ({shown})"


_BLOCKS: Mapping[str, Callable[[SyntaxTreeNode], list[str]]] = {
    "paragraph": lambda node: _inline(node).split("\n"),
    "heading": _heading,
    "fence": _fence,
    "code_block": _fence,
    "blockquote": _quote,
    "bullet_list": _list,
    "ordered_list": _list,
    "table": lambda node: list(_table_rows(node)),
    "hr": lambda _: ["---"],
}
_SPANS: Mapping[str, Callable[[SyntaxTreeNode], str]] = {
    "inline": _inline,
    "softbreak": lambda _: "\\\n",
    "hardbreak": lambda _: "\\\n",
    "code_inline": lambda node: _code(node.content),
    MARK: lambda node: node.content,
    "link": lambda node: _with_address(_inline(node), str(node.attrs["href"])),
    "image": lambda node: _with_address(_escaped(node.content), str(node.attrs["src"])),
}
