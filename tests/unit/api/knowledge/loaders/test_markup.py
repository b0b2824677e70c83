"""reStructuredText, Org, LaTeX, XML, SVG."""

import pytest

from services.foundation.errors import UnreadableFile
from tests.unit.api.knowledge.loaders.making import load, texts, written


def places(document):
    return [(section.text, section.place.heading) for section in document.sections]


RST = """.. _top:

====
手册
====

:Author: 王五

见 :ref:`安装 <install>` 与 `官网 <http://x/y>`_ ，用 ``a_b`` 与 **粗体**。|产品| 好。
第二行 [1]_ 。

.. |产品| replace:: 云盘
.. 注释
   还是注释

安装
----
运行::

    pip install x
      y

.. note:: 小心
   烫手

.. code-block:: python
   :linenos:

   def f():
       return 1

- 甲
  接着
- 乙

.. image:: a.png
   :alt: 示意图

.. include:: other.rst

.. [1] 脚注
"""


def test_rst(tmp_path):
    document = load(written(tmp_path / "a.rst", RST))
    assert places(document) == [
        ("手册", ("手册",)),
        ("Author: 王五", ("手册",)),
        ("见 安装 与 官网 ，用 a_b 与 粗体。云盘 好。第二行 [1] 。", ("手册",)),
        ("安装", ("手册", "安装")),
        ("运行:", ("手册", "安装")),
        ("pip install x\n  y", ("手册", "安装")),
        ("小心", ("手册", "安装")),
        ("烫手", ("手册", "安装")),
        ("def f():\n    return 1", ("手册", "安装")),
        ("- 甲接着\n- 乙", ("手册", "安装")),
        ("示意图", ("手册", "安装")),
        ("[1] 脚注", ("手册", "安装")),
    ]
    assert document.warnings == ("what it takes from other places was not read: include other.rst",)


RST_TABLES = """
+------+-------+
| 名称 | 价格  |
+======+=======+
| 苹果 | 4.5   |
| 大   |       |
+------+-------+
| 合计 9.5     |
+------+-------+

====  =====
 键    值
====  =====
端口  7861
主机  本机
====  =====

.. list-table:: 清单
   :header-rows: 1

   * - 甲
     - 乙
   * - 1
     - 2

.. csv-table::
   :header: "a", "b"

   "x, y", 2
"""


def test_rst_tables(tmp_path):
    assert texts(load(written(tmp_path / "a.rst", RST_TABLES))) == [
        "| 名称 | 价格 |\n| --- | --- |\n| 苹果大 | 4.5 |",
        "合计 9.5",
        "| 键 | 值 |\n| --- | --- |\n| 端口 | 7861 |\n| 主机 | 本机 |",
        "清单",
        "| 甲 | 乙 |\n| --- | --- |\n| 1 | 2 |",
        "| a | b |\n| --- | --- |\n| x, y | 2 |",
    ]


ORG = """#+TITLE: 笔记
#+OPTIONS: toc:nil
# 注释
* TODO [#A] 开始 :work:home:
:PROPERTIES:
:ID: 1
:END:
见 [[http://x][官网]] 与 =a*b= 和 *粗体* 。
第二行
- 甲
  接着
- [X] 乙
** 代码
#+BEGIN_SRC python
def f():
    return 1
#+END_SRC
| 键 | 值 |
|----+----|
| 端口 | 7861 |
: literal
#+INCLUDE: "b.org"
"""


def test_org(tmp_path):
    document = load(written(tmp_path / "a.org", ORG))
    assert places(document) == [
        ("笔记\n开始", ("笔记", "开始")),
        ("见 官网 与 a*b 和 粗体 。第二行\n- 甲接着\n- [X] 乙", ("笔记", "开始")),
        ("代码", ("笔记", "开始", "代码")),
        ("def f():\n    return 1", ("笔记", "开始", "代码")),
        ("| 键 | 值 |\n| --- | --- |\n| 端口 | 7861 |", ("笔记", "开始", "代码")),
        ("literal", ("笔记", "开始", "代码")),
    ]
    assert "b.org" in document.warnings[0]


TEX = r"""\documentclass[a4paper]{article}
\newcommand{\foo}[2]{\section{#1} text #2}
\title{年度\textbf{报告}} \author{王五 \and 李四}
\begin{document}
\maketitle
\section{引言 caf\'e}\label{sec:intro} % 注释
See \href{http://x}{the site}, 100\% of $a_1 + \frac{1}{2}$ costs \$5.\footnote{Note \emph{here}.}
As in~\cite[p.~3]{knuth} -- ``quoted''.
\begin{itemize}
  \item first
  continues
  \item[Term] second \textcolor{red}{red}
\end{itemize}
\begin{table}[h]\caption{销售表 \label{t}}
\begin{tabular}{l|r}
\hline
名称 & \textbf{价格} \\ \hline
苹果 & 4.5 \\
\end{tabular}\end{table}
\begin{equation}
E = mc^2
\end{equation}
\begin{lstlisting}[language=Python]
def f(): % keep
    return 1
\end{lstlisting}
\input{chapter2}
\end{document}
afterwards
"""


def test_tex(tmp_path):
    document = load(written(tmp_path / "a.tex", TEX))
    section = ("年度报告", "引言 café")
    assert places(document) == [
        ("年度报告", ("年度报告",)),
        ("王五, 李四", ("年度报告",)),
        ("引言 café", section),
        (
            r"See the site, 100% of $a_1 + \frac{1}{2}$ costs $5. (Note here.) As in [knuth] – “quoted”.",
            section,
        ),
        ("- first continues\n- Term second red", section),
        ("销售表", section),
        ("| 名称 | 价格 |\n| --- | --- |\n| 苹果 | 4.5 |", section),
        (r"\begin{equation} E = mc^2 \end{equation}", section),
        ("def f(): % keep\n    return 1", section),
    ]
    assert document.warnings == ("what it takes from other files was not read: chapter2",)


def test_tex_with_an_unclosed_group_loses_nothing_after_it(tmp_path):
    content = "\\section{甲\n\n正文一。\n\n\\section{乙}\n正文二。"
    found = "".join(texts(load(written(tmp_path / "a.tex", content))))
    assert all(word in found for word in ("甲", "正文一。", "乙", "正文二。"))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["{", "\\section{", "\\[", "$ a ", "\\begin{tabular}{l}", "\\verb|", "\\item["])
def test_tex_that_never_closes_takes_bounded_time(tmp_path, piece):
    assert load(written(tmp_path / "a.tex", f"text {piece * 30_000} end")).sections


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["`a", "*a ", "|a ", ":a:`b", "x::\n\n ", "+--+\n| a\n", "== ==\n", "[[a", "/a b "])
@pytest.mark.parametrize("extension", [".rst", ".org"])
def test_marks_that_never_close_take_bounded_time(tmp_path, piece, extension):
    assert load(written(tmp_path / f"a{extension}", f"text\n\n{piece * 20_000}")).sections


FACTS = """<?xml version="1.0" encoding="{encoding}"?>
<!DOCTYPE list [<!ELEMENT list ANY>]>
<list note="内部"><!-- 注释 --><item id="1"><name>甲 &amp; 乙</name><price unit="元">3</price></item>
<item><name>丙</name><memo>加<b>粗</b>的字</memo><row id="7" color="红"/></item><tail>完</tail></list>"""


@pytest.mark.parametrize("encoding", ["utf-8", "gb2312", "gbk", "utf-16"])
def test_xml(tmp_path, encoding):
    document = load(written(tmp_path / "a.xml", FACTS.format(encoding=encoding).encode(encoding)))
    assert texts(document) == [
        "甲 & 乙\nprice: 3",
        "丙",
        "加粗的字",
        "id: 7, color: 红",
        "tail: 完",
    ]
    assert [section.place.heading for section in document.sections] == [("甲 & 乙",), ("丙",), ("丙",), ("丙",), ()]


RSS = """<rss><channel><title>新闻</title><item><author>王五</author><title>头条</title>
<link>http://x/?a=1&b=2</link><description>&lt;p&gt;正文&nbsp;一&lt;/p&gt;&lt;script&gt;x()&lt;/script&gt;</description></item>
</channel></rss>"""


def test_a_feed_with_common_slips(tmp_path):
    document = load(written(tmp_path / "a.rss", RSS))
    assert places(document) == [
        ("新闻", ("新闻",)),
        ("头条\nauthor: 王五\nlink: http://x/?a=1&b=2", ("新闻", "头条")),
        ("正文 一", ("新闻", "头条")),
    ]
    assert document.warnings == ()


def test_broken_xml_is_read_as_far_as_it_can_be(tmp_path):
    document = load(written(tmp_path / "a.xml", "<r>\n<a>甲</a>\n<b>乙</c>\n</r>"))
    assert texts(document) == ["a: 甲\nb: 乙"]
    assert "line 3" in document.warnings[0]


LAUGHS = '<!DOCTYPE r [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]><r>&b;</r>'
OUTSIDE = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]><r>before &x; after</r>'
INCLUDED = '<r xmlns:xi="http://www.w3.org/2001/XInclude">a<xi:include parse="text" href="file:///etc/passwd"/>b</r>'


def test_xml_entities_are_not_expanded(tmp_path):
    with pytest.raises(UnreadableFile, match="&b; of its own"):
        load(written(tmp_path / "a.xml", LAUGHS))


def test_xml_takes_nothing_from_other_files(tmp_path):
    document = load(written(tmp_path / "a.xml", OUTSIDE))
    assert texts(document) == ["r: before &x; after"]
    assert document.warnings == ("what it takes from other files was not read: x",)
    assert texts(load(written(tmp_path / "b.xml", INCLUDED))) == ["ab"]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<a>" * 100_000, "nested more than"),
        ("<!DOCTYPE r [" * 50_000, "document type has no end"),
        ("<r " + " ".join(f"a{n}='x'" for n in range(50_000)) + "/>", "damaged"),
        ("plain words", "not XML"),
    ],
)
def test_hostile_xml_is_refused(tmp_path, content, reason):
    with pytest.raises(UnreadableFile, match=reason):
        load(written(tmp_path / "a.xml", content))


SVG = """<svg xmlns="http://www.w3.org/2000/svg"><title>架构图</title><style>.a{}</style><script>x()</script>
<g><title>提示</title><text><tspan>网关</tspan><tspan>一</tspan></text></g>
<switch><foreignObject><div xmlns="http://www.w3.org/1999/xhtml">数据库</div></foreignObject><text>数据…</text></switch></svg>"""


def test_svg(tmp_path):
    assert texts(load(written(tmp_path / "a.svg", SVG))) == ["架构图", "提示\n网关一\n数据库"]


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("path", "phrase"),
    [
        ("rst/zh_scrapy_overview.rst", "提取结构性数据而编写的应用框架"),
        ("org/zh_emacs_calc.org", "模块自22版开始就内置于Emacs"),
        ("tex/zh_lshort_preface.tex", "它非常适用于生成高印刷质量"),
        ("xml/zh_gb2312_feed.xml", "HTML4标签的默认样式列表"),
    ],
)
def test_real_files(corpora, path, phrase):
    assert phrase in "".join(texts(load(corpora / "documents" / path)))
