"""RTF: character sets, tables, what is left out; and files that only have an old Office file's name."""

from __future__ import annotations

from pathlib import Path

import docx
import openpyxl
import pytest

from services.api.domain.knowledge import Document
from services.foundation.errors import UnreadableFile
from tests.unit.api.knowledge.loaders.making import load, texts, written
from tests.unit.api.knowledge.loaders.old_office import Par, word, workbook


def escaped(text: str, encoding: str = "gbk") -> str:
    return "".join(f"\\'{byte:02x}" for byte in text.encode(encoding))


def rtf(folder: Path, content: str | bytes, head: str = "\\ansi") -> Document:
    body = content if isinstance(content, bytes) else content.encode("ascii")
    return load(written(folder / "a.rtf", f"{{\\rtf1{head} ".encode() + body + b"}"))


class TestCharacters:
    def test_a_code_page(self, tmp_path: Path):
        assert texts(rtf(tmp_path, escaped("市政府"), "\\ansi\\ansicpg936")) == ["市政府"]

    def test_a_font_says_more_than_the_page(self, tmp_path: Path):
        fonts = "{\\fonttbl{\\f0\\fcharset134 SimSun;}{\\f1\\fcharset204 Arial;}{\\f2\\fcharset0 Arial;}}"
        text = f"\\f0 {escaped('通知')} \\f1 {escaped('Да', 'cp1251')} {{\\f2 caf\\'e9}} \\f0 {escaped('完')}"
        assert texts(rtf(tmp_path, fonts + text, "\\ansi\\ansicpg1252\\deff2")) == ["通知 Да café 完"]

    def test_western_bytes_in_a_chinese_page(self, tmp_path: Path):
        assert texts(rtf(tmp_path, "caf\\'e9s", "\\ansi\\ansicpg936")) == ["cafés"]

    @pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
    def test_bytes_as_they_are_without_a_page(self, tmp_path: Path, encoding: str):
        assert texts(rtf(tmp_path, "合同编号".encode(encoding))) == ["合同编号"]

    def test_unicode_and_what_stands_in_for_it(self, tmp_path: Path):
        text = f"\\uc2\\u21512{escaped('合')}\\u21516{escaped('同')} {{\\uc1\\u-10174?\\u-8265?}}\\u8212 --."
        assert texts(rtf(tmp_path, text)) == ["合同 𠮷—."]

    def test_unicode_that_replaces_a_group(self, tmp_path: Path):
        assert texts(rtf(tmp_path, "{\\upr{old}{\\*\\ud{\\u26032?}}}\\par")) == ["新"]


class TestStructure:
    def test_headings_by_style_and_by_outline_level(self, tmp_path: Path):
        sheet = "{\\stylesheet{Normal;}{\\s1 heading 1;}{\\s2\\sbasedon1 Mine;}{\\*\\cs3 heading 2 Char;}}"
        text = "\\pard\\s1 One\\par\\pard a\\par\\pard\\s2 Two\\par\\pard b\\par{\\pard\\outlinelevel1 Sub\\par}c\\par"
        found = rtf(tmp_path, sheet + text)
        places = {section.text: section.place.heading for section in found.sections}
        assert places["a"] == ("One",)
        assert places["b"] == ("Two",)
        assert places["c"] == ("Two", "Sub")

    def test_tables_are_rows_with_their_merges(self, tmp_path: Path):
        text = (
            "\\trowd\\clvmgf\\cellx100\\cellx200\\cellx300\\pard\\intbl Region\\cell Q1\\cell Q2\\cell\\row"
            "\\trowd\\clvmrg\\cellx100\\cellx300\\pard\\intbl \\cell 7\\par 8\\cell\\row\\pard after\\par"
        )
        found = rtf(tmp_path, text)
        assert texts(found)[-1] == "after"
        assert texts(found)[0].splitlines()[-1] == "| Region | 7 8 |  |"

    def test_list_numbers_stay_and_bullets_are_items(self, tmp_path: Path):
        text = "{\\listtext 1.\\tab}First\\par{\\pntext\\'b7\\tab}point\\par{\\pntext\\'b7\\tab}point two\\par"
        assert texts(rtf(tmp_path, text)) == ["1. First", "- point\n- point two"]

    def test_footnotes_and_headers_stand_apart(self, tmp_path: Path):
        text = "{\\header Secret\\par}Body{\\footnote note one} goes{\\footnote note two} on\\par"
        found = rtf(tmp_path, text)
        assert texts(found) == ["Body goes on", "note one", "note two", "Secret"]
        assert [section.place.heading for section in found.sections[1::2]] == [
            ("Footnotes",),
            ("Page headers and footers",),
        ]

    def test_a_text_box_is_read_once(self, tmp_path: Path):
        text = "{\\shp{\\*\\shpinst{\\sp{\\sn a}{\\sv 1}}{\\shptxt in a box\\par}}{\\shprslt in a box\\par}}body\\par"
        assert texts(rtf(tmp_path, text)) == ["body", "in a box"]

    def test_what_is_not_text_is_left_out(self, tmp_path: Path):
        text = (
            "{\\info{\\author Someone}}{\\colortbl;\\red1;}{\\*\\unknown x}{\\pict\\pngblip 89504e47}"
            '{\\field{\\*\\fldinst HYPERLINK "x"}{\\fldrslt shown}}{\\v hidden}{\\deleted gone} {\\{kept\\}}'
        )
        found = rtf(tmp_path, text)
        assert texts(found) == ["shown {kept}"]
        assert found.warnings == ("text inside pictures was not read; the document holds 1 of them",)

    def test_binary_parts_are_stepped_over(self, tmp_path: Path):
        assert texts(rtf(tmp_path, b"a {\\pict\\bin6 }}}{{\\}b")) == ["a b"]

    def test_groups_nested_deep_and_never_closed(self, tmp_path: Path):
        assert texts(rtf(tmp_path, "{" * 100_000 + "deep")) == ["deep"]


class TestDisguised:
    @pytest.mark.parametrize("name", ["a.doc", "a.xls", "a.rtf", "a.ppt"])
    @pytest.mark.parametrize("encoding", ["gbk", "utf-8-sig", "utf-16"])
    def test_a_web_page(self, tmp_path: Path, name: str, encoding: str):
        page = "<html><body><table><tr><td>姓名<td>部门<tr><td>张三<td>财务部</table></body></html>"
        found = load(written(tmp_path / name, page.encode(encoding)))
        assert texts(found) == ["| 姓名 | 部门 |\n| --- | --- |\n| 张三 | 财务部 |"]
        assert "web page" in found.warnings[0]

    def test_a_text_table(self, tmp_path: Path):
        found = load(written(tmp_path / "a.xls", "姓名\t部门\n张三\t财务部\n".encode("gbk")))
        assert texts(found) == ["| 姓名 | 部门 |\n| --- | --- |\n| 张三 | 财务部 |"]

    def test_text(self, tmp_path: Path):
        assert texts(load(written(tmp_path / "a.doc", "只是文字。"))) == ["只是文字。"]

    def test_newer_files(self, tmp_path: Path):
        book = openpyxl.Workbook()
        book.active.append(["甲", "乙"])
        book.save(tmp_path / "a.xls")
        letter = docx.Document()
        letter.add_paragraph("正文")
        letter.save(str(tmp_path / "a.doc"))
        assert texts(load(tmp_path / "a.xls")) == ["| 甲 | 乙 |"]
        assert texts(load(tmp_path / "a.doc")) == ["正文"]

    def test_one_old_format_under_the_name_of_another(self, tmp_path: Path):
        assert texts(load(written(tmp_path / "a.doc", b"{\\rtf1 x\\par}"))) == ["x"]
        assert texts(load(written(tmp_path / "a.rtf", word([Par("y\r")])))) == ["y"]
        assert "z" in texts(load(written(tmp_path / "a.ppt", workbook({"s": [("z", "z")]}))))[0]

    def test_the_xml_of_excel_2003(self, tmp_path: Path):
        cells = '<Cell><Data ss:Type="String">{}</Data></Cell>'
        found = load(
            written(
                tmp_path / "a.xls",
                '<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?>'
                '<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"'
                ' xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet"><Worksheet ss:Name="报表"><Table>'
                f'<Row ss:Index="2">{cells.format("日期")}{cells.format("数量")}{cells.format("备注")}</Row>'
                '<Row><Cell><Data ss:Type="DateTime">2024-03-01T00:00:00.000</Data></Cell>'
                '<Cell ss:Index="3"><Data ss:Type="Number">5.0</Data></Cell></Row>'
                "</Table></Worksheet></Workbook>",
            )
        )
        assert texts(found) == ["| 日期 | 数量 | 备注 |\n| --- | --- | --- |\n| 2024-03-01 |  | 5 |"]
        assert (found.sections[0].place.sheet, found.sections[0].place.row) == ("报表", 3)

    def test_a_web_archive(self, tmp_path: Path):
        archive = (
            "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\n"
            "Content-Type: text/html; charset=gb2312\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            "<html><body><p>整页内容</p></body></html>\r\n--b--\r\n"
        )
        assert "整页内容" in "".join(texts(load(written(tmp_path / "a.doc", archive.encode("gbk")))))

    def test_text_is_no_presentation(self, tmp_path: Path):
        with pytest.raises(UnreadableFile, match="not a PowerPoint presentation"):
            load(written(tmp_path / "a.ppt", "words"))

    @pytest.mark.parametrize("name", ["a.doc", "a.xls", "a.rtf", "a.ppt"])
    def test_noise_is_refused(self, tmp_path: Path, name: str):
        with pytest.raises(UnreadableFile):
            load(written(tmp_path / name, bytes(range(256)) * 50))
