"""Source code."""

import pytest

from tests.unit.api.knowledge.loaders.making import load, texts, written

PYTHON = '''"""模块。"""

import os


# 计算天数
@cached
def days(years):
    """天数。"""

    return years


class Policy:
    def a(self):
        return 1
'''


def places(document):
    return [(section.text.split("\n")[0], section.place.heading) for section in document.sections]


def test_definitions_are_headings(tmp_path):
    assert places(load(written(tmp_path / "a.py", PYTHON))) == [
        ('"""模块。"""', ()),
        ("# 计算天数", ("days",)),
        ("class Policy:", ("Policy",)),
    ]


@pytest.mark.parametrize(
    ("extension", "line", "name"),
    [
        (".js", "export default async function load(x) {", "load"),
        (".ts", "export const add = (a: number) => {", "add"),
        (".java", "public final class Order {", "Order"),
        (".go", "func (s *Server) Run(ctx context.Context) error {", "Run"),
        (".rs", "pub fn run<T>(x: T) -> T {", "run"),
        (".c", "static int *add(int a, int b) {", "add"),
        (".sh", "build() {", "build"),
        (".sql", "CREATE TABLE IF NOT EXISTS `orders` (", "orders"),
        (".kt", "data class User(val name: String)", "User"),
        (".rb", "def total", "total"),
    ],
)
def test_languages(tmp_path, extension, line, name):
    document = load(written(tmp_path / f"a{extension}", f"{line}\n  x\n}}\n"))
    assert document.sections[0].place.heading == (name,)


@pytest.mark.parametrize("line", ["if (ready) {", "main()", "return 1", "for (;;) {"])
def test_a_statement_is_no_definition(tmp_path, line):
    assert load(written(tmp_path / "a.js", f"{line}\n  x\n")).sections[0].place.heading == ()


def test_a_long_definition_is_cut_at_blank_lines(tmp_path):
    body = "\n\n".join(f"    def m{n}(self):\n        return {n}  # {'x' * 80}" for n in range(40))
    document = load(written(tmp_path / "a.py", f"class Big:\n{body}\n"))
    assert max(map(len, texts(document))) < 1300
    assert all(text.startswith(("class", "    def")) for text in texts(document))
    assert {section.place.heading for section in document.sections} == {("Big",)}


def test_comments_in_gbk_are_read(tmp_path):
    content = "/* 计算两数之和，防止整数溢出 */\nint add(int a, int b) {\n    return a + b;\n}\n"
    assert "防止整数溢出" in texts(load(written(tmp_path / "a.c", content.encode("gbk"))))[0]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", ["a(", "a ", "public ", "[", "\t", "const a = "])
def test_long_lines_take_bounded_time(tmp_path, piece):
    assert load(written(tmp_path / "a.c", "x" + piece * 100_000)).sections
