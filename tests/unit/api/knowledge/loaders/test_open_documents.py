"""OpenDocument texts, workbooks and presentations."""

import pytest

from services.foundation.errors import EncryptedFile, UnreadableFile
from tests.unit.api.knowledge.loaders.containers import open_document, packed, paragraphs, places, sheet, slide_page
from tests.unit.api.knowledge.loaders.making import load, texts


def test_open_text_in_order(tmp_path):
    styles = '<style:style style:name="P1" style:family="paragraph" style:parent-style-name="Title"/>'
    body = (
        "<text:tracked-changes><text:changed-region><text:deletion><text:p>删去</text:p></text:deletion>"
        '</text:changed-region></text:tracked-changes><text:p text:style-name="P1">手册</text:p>'
        '<text:list><text:list-item><text:h text:outline-level="2">安装</text:h></text:list-item></text:list>'
        '<text:p>a<text:s text:c="2"/>b<text:tab/>c\n   d<text:line-break/>e'
        '<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation><text:note-body>'
        "<text:p>脚注</text:p></text:note-body></text:note><office:annotation><dc:creator>王</dc:creator>"
        "<text:p>批注</text:p></office:annotation></text:p>"
        "<text:section><text:list><text:list-item><text:p>甲</text:p><text:list><text:list-item><text:p>乙</text:p>"
        "</text:list-item></text:list></text:list-item></text:list></text:section>"
        "<text:p><text:ruby><text:ruby-base>漢字</text:ruby-base>"
        "<text:ruby-text>かんじ</text:ruby-text></text:ruby></text:p>"
    )
    document = load(open_document(tmp_path / "a.odt", "text", body, styles))
    assert [(section.text, section.place.heading) for section in document.sections] == [
        ("手册\n安装", ("手册", "安装")),
        ("a b c d\ne", ("手册", "安装")),
        ("- 甲\n- 乙", ("手册", "安装")),
        ("漢字", ("手册", "安装")),
        ("Footnotes", ("手册", "Footnotes")),
        ("脚注", ("手册", "Footnotes")),
        ("Comments", ("手册", "Comments")),
        ("王: 批注", ("手册", "Comments")),
    ]


def test_open_table_with_spans_and_repetitions(tmp_path):
    def cell(text, more=""):
        return f"<table:table-cell {more}>{paragraphs(text)}</table:table-cell>"

    wide, repeated = 'table:number-columns-spanned="2"', 'table:number-columns-repeated="2"'
    body = (
        "<table:table><table:table-header-rows><table:table-row>"
        f"{cell('级别')}{cell('天数', wide)}<table:covered-table-cell/>"
        "</table:table-row></table:table-header-rows>"
        f'<table:table-row table:number-rows-repeated="2">{cell("甲")}{cell("5", repeated)}'
        '</table:table-row><table:table-row table:number-rows-repeated="1048000"><table:table-cell/></table:table-row>'
        "</table:table>"
    )
    (section,) = load(open_document(tmp_path / "a.odt", "text", body)).sections
    assert section.text == "| 级别 | 天数 | 天数 |\n| --- | --- | --- |\n| 甲 | 5 | 5 |\n| 甲 | 5 | 5 |"


def test_formulas_of_open_texts(tmp_path):
    body = '<text:p>因为<draw:frame><draw:object xlink:href="./Object 1"/></draw:frame>。</text:p>'
    math = '<math xmlns="http://www.w3.org/1998/Math/MathML"><mi>x</mi><annotation>x over y</annotation></math>'
    document = load(open_document(tmp_path / "a.odt", "text", body, parts={"Object 1/content.xml": math}))
    assert texts(document) == ["因为x over y。"]
    document = load(open_document(tmp_path / "b.odt", "text", body))
    assert document.warnings == ("1 objects embedded in the file, such as charts, were not read",)


def test_open_sheet_rows_are_numbered_and_bounded(tmp_path):
    rows = sheet("一季度", [["日期", "数"], ["2018-04-01", "3"]]).removesuffix("</table:table>")
    rows += (
        '<table:table-row table:number-rows-repeated="1000000"><table:table-cell/></table:table-row><table:table-row>'
        '<table:table-cell table:number-columns-repeated="16000"/></table:table-row><table:table-row>'
        '<table:table-cell office:value="7"/><table:table-cell table:number-columns-repeated="16000"/>'
        "</table:table-row></table:table>"
    )
    document = load(open_document(tmp_path / "a.ods", "spreadsheet", rows))
    assert [(section.text, section.place.sheet, section.place.row) for section in document.sections] == [
        ("| 日期 | 数 |\n| --- | --- |\n| 2018-04-01 | 3 |", "一季度", 2),
        ("| 日期 | 数 |\n| --- | --- |\n| 7 |  |", "一季度", 1_000_004),
    ]


@pytest.mark.timeout(60)
def test_repetitions_cannot_fill_the_memory(tmp_path):
    cell = f'<table:table-cell table:number-columns-repeated="16000">{paragraphs("x" * 1000)}</table:table-cell>'
    rows = f'<table:table-row table:number-rows-repeated="1000000">{cell}</table:table-row>' * 1000
    table = f'<table:table table:name="表">{rows}</table:table>'
    document = load(open_document(tmp_path / "a.ods", "spreadsheet", table))
    assert document.warnings == ("the workbook is too large; it was not read from within sheet '表' on",)
    document = load(open_document(tmp_path / "a.odt", "text", table))
    assert document.warnings == ("the tables are too large; some were not read to their end",)


def test_open_slides(tmp_path):
    title = f'<draw:frame presentation:class="title" svg:y="9cm">{paragraphs("题")}</draw:frame>'
    notes = f"<presentation:notes>{title.replace('title', 'notes').replace('题', '备注')}</presentation:notes>"
    body = slide_page([(5, 1, "下"), (2, 9, "右"), (2.2, 1, "左")], title + notes) + slide_page([(1, 1, "二")])
    assert places(load(open_document(tmp_path / "a.odp", "presentation", body))) == [
        ("题", 1, ("题",)),
        ("左", 1, ("题",)),
        ("右", 1, ("题",)),
        ("下", 1, ("题",)),
        ("Notes", 1, ("题", "Notes")),
        ("备注", 1, ("题", "Notes")),
        ("二", 2, ()),
    ]


def test_what_an_open_document_is_its_content_says(tmp_path):
    document = load(open_document(tmp_path / "a.odt", "spreadsheet", sheet("表", [["甲"], ["乙"]])))
    assert document.sections[0].place.sheet == "表"
    with pytest.raises(UnreadableFile, match="no text, sheets or slides"):
        load(open_document(tmp_path / "b.odt", "database", ""))


def test_an_encrypted_open_document_says_so(tmp_path):
    manifest = (
        '<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><m:file-entry>'
        "<m:encryption-data/></m:file-entry></m:manifest>"
    )
    with pytest.raises(EncryptedFile):
        load(packed(tmp_path / "a.odt", {"content.xml": b"\x00\x01", "META-INF/manifest.xml": manifest}))
    with pytest.raises(EncryptedFile):
        load(packed(tmp_path / "b.odt", {"encrypted-package": b"\x00\x01", "META-INF/manifest.xml": manifest}))
