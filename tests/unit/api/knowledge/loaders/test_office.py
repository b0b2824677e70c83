"""Word and Excel."""

import datetime
import zipfile

import docx
import openpyxl
import pytest
from docx.enum.style import WD_STYLE_TYPE

from services.foundation.errors import EncryptedFile, UnreadableFile
from tests.unit.api.knowledge.loaders.making import load, texts, written


def test_word_in_body_order_with_headings_lists_and_tables(tmp_path):
    word = docx.Document()
    word.sections[0].header.paragraphs[0].text = "机密"
    word.add_heading("年假制度", 1)
    word.add_paragraph("工作满一年可休五天。")
    style = word.styles.add_style("标题 2", WD_STYLE_TYPE.PARAGRAPH)
    word.add_paragraph("适用范围", style=style)
    word.add_paragraph("正式员工", style="List Bullet")
    word.add_paragraph("实习生", style="List Bullet")
    table = word.add_table(3, 3)
    for number, text in enumerate(("级别", "天数", "备注", "甲", "5", "", "乙", "7", "可累计")):
        table.cell(number // 3, number % 3).text = text
    table.cell(1, 2).merge(table.cell(2, 2))
    word.add_paragraph("完。")
    word.save(str(tmp_path / "a.docx"))
    document = load(tmp_path / "a.docx")
    assert texts(document) == [
        "机密",
        "年假制度",
        "工作满一年可休五天。",
        "适用范围",
        "- 正式员工\n- 实习生",
        "| 级别 | 天数 | 备注 |\n| --- | --- | --- |\n| 甲 | 5 | 可累计 |\n| 乙 | 7 | 可累计 |",
        "完。",
    ]
    assert document.sections[-1].place.heading == ("年假制度", "适用范围")


def part(body):
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    return f'<?xml version="1.0"?><w:document {space}><w:body>{body}</w:body></w:document>'


def packed(path, content, name="word/document.xml"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return path


def test_hidden_deleted_and_field_text_is_left_out(tmp_path):
    body = (
        "<w:p><w:r><w:t>看</w:t></w:r><w:r><w:rPr><w:vanish/></w:rPr><w:t>藏</w:t></w:r>"
        "<w:del><w:r><w:delText>删</w:delText></w:r></w:del>"
        "<w:r><w:instrText>DDEAUTO cmd</w:instrText></w:r><w:ins><w:r><w:t>增</w:t></w:r></w:ins></w:p>"
    )
    assert texts(load(packed(tmp_path / "a.docx", part(body)))) == ["看增"]


def test_entities_are_not_resolved(tmp_path):
    xml = part("<w:p><w:r><w:t>前&x;后</w:t></w:r></w:p>")
    xml = xml.replace("<w:document", '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><w:document', 1)
    assert "root:" not in "".join(texts(load(packed(tmp_path / "a.docx", xml))))


@pytest.mark.parametrize("extension", ["docx", "xlsx"])
def test_a_bomb_is_refused_before_parsing(tmp_path, extension):
    name = "word/document.xml" if extension == "docx" else "xl/workbook.xml"
    path = packed(tmp_path / f"a.{extension}", b" " * 60_000_000, name)
    with pytest.raises(UnreadableFile, match="bomb"):
        load(path)


def test_too_many_parts_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        for number in range(5001):
            archive.writestr(f"word/{number}.xml", b"")
    with pytest.raises(UnreadableFile, match="parts"):
        load(tmp_path / "a.docx")


def test_an_encrypted_container_says_so(tmp_path):
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le")
    with pytest.raises(EncryptedFile):
        load(written(tmp_path / "a.docx", ole))


def test_other_contents_are_named(tmp_path):
    with pytest.raises(UnreadableFile, match="old format"):
        load(written(tmp_path / "a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)))
    with pytest.raises(UnreadableFile, match="a PDF"):
        load(written(tmp_path / "b.docx", b"%PDF-1.4\n"))
    with pytest.raises(UnreadableFile, match="ZIP archive, not"):
        load(packed(tmp_path / "c.docx", b"x", "readme.txt"))


def test_the_body_may_have_another_name(tmp_path):
    body = part("<w:p><w:r><w:t>正文</w:t></w:r></w:p>")
    relations = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
        'Target="/word/document2.xml"/></Relationships>'
    )
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        archive.writestr("_rels/.rels", relations)
        archive.writestr("word/document2.xml", body)
    assert texts(load(tmp_path / "a.docx")) == ["正文"]


def test_a_workbook_called_docx_is_named(tmp_path):
    openpyxl.Workbook().save(tmp_path / "a.docx")
    with pytest.raises(UnreadableFile, match="another kind of Office file"):
        load(tmp_path / "a.docx")


def test_values_as_shown(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "一季度"
    sheet.append(["日期", "比例", "金额", "布尔", "数"])
    sheet.append([datetime.date(2018, 4, 1), -0.0234, 4755785.11, True, 3.0])
    sheet["B2"].number_format, sheet["C2"].number_format = "0.00%", "#,##0.00"
    sheet["E9"] = "远"
    book.create_sheet("空")
    book.save(tmp_path / "a.xlsx")
    document = load(tmp_path / "a.xlsx")
    assert texts(document)[0].endswith("| 2018-04-01 | -2.34% | 4,755,785.11 | TRUE | 3 |")
    place = document.sections[0].place
    assert (place.sheet, place.row, place.last_row, place.heading) == ("一季度", 2, 2, ("一季度",))
    assert document.sections[1].place.row == 9
