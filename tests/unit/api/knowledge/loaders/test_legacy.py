"""Word, PowerPoint and Excel of 1997 to 2003: what their loaders keep, leave out, and refuse."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from services.api.domain.knowledge import Document
from services.api.knowledge.loaders import LOADERS
from services.foundation.errors import EmptyFile, EncryptedFile, UnreadableFile
from tests.unit.api.knowledge.loaders.compound import compound
from tests.unit.api.knowledge.loaders.making import load, source, texts, written
from tests.unit.api.knowledge.loaders.old_office import (
    HIDDEN,
    LISTED,
    Par,
    atom,
    box,
    old_word,
    page,
    powerpoint,
    row,
    style_sheet,
    table,
    word,
    workbook,
)

CORPORA = Path(__file__).resolve().parents[6] / "shared" / "corpora"


def read(folder: Path, name: str, content: bytes) -> Document:
    return load(written(folder / name, content))


class TestWord:
    def test_pieces_of_both_kinds_join(self, tmp_path: Path):
        found = read(tmp_path, "a.doc", word([Par("Café “one”\r"), Par("第二段𠮷\r")], narrow=1))
        assert texts(found) == ["Café “one”", "第二段𠮷"]

    def test_a_heading_style_gives_the_path(self, tmp_path: Path):
        sheet = style_sheet([(0, 0xFFF), (1, 0), (4094, 1)])
        paragraphs = [Par("总则\r", style=1), Par("范围\r"), Par("附则\r", style=2), Par("解释\r")]
        found = read(tmp_path, "a.doc", word(paragraphs, sheet=sheet))
        assert [section.place.heading for section in found.sections] == [("总则",), ("总则",), ("附则",), ("附则",)]

    def test_numbered_titles_are_headings_where_no_style_is(self, tmp_path: Path):
        found = read(tmp_path, "a.doc", word([Par("第一章 总则\r"), Par("本办法自发布之日起施行。\r")]))
        assert found.sections[1].place.heading == ("第一章 总则",)

    def test_cells_stand_in_their_rows(self, tmp_path: Path):
        rows = [*row("姓名", "部门"), *row("张三", ""), *row("李四", "财务\r总账")]
        found = read(tmp_path, "a.doc", word([*rows, Par("完\r")]))
        assert texts(found) == ["| 姓名 | 部门 |\n| --- | --- |\n| 张三 |  |\n| 李四 | 财务总账 |", "完"]

    def test_edges_and_merges_lay_the_table_out(self, tmp_path: Path):
        rows = [
            *row("地区", "数", "量", edges=(0, 100, 200, 300), flags=(0x60, 0, 0)),
            *row("", "7", edges=(0, 100, 300), flags=(0x20, 0)),
            *row("西", "8", "9", edges=(0, 100, 200, 300)),
        ]
        found = read(tmp_path, "a.doc", word(rows))
        assert "| 地区 | 7 |  |" in texts(found)[0]
        assert "| 西 | 8 | 9 |" in texts(found)[0]

    def test_field_codes_go_and_their_results_stay(self, tmp_path: Path):
        text = "See \x13 HYPERLINK \x13 REF x \x14in\x15 \x14the page\x15 now\x13 PAGE \x15.\r"
        assert texts(read(tmp_path, "a.doc", word([Par(text)]))) == ["See the page now."]

    def test_a_field_that_never_ends_hides_nothing(self, tmp_path: Path):
        assert texts(read(tmp_path, "a.doc", word([Par("A\x13 B\r"), Par("C\r")]))) == ["A B", "C"]

    def test_hidden_text_is_left_out(self, tmp_path: Path):
        found = read(tmp_path, "a.doc", word([Par("seen "), Par("unseen ", characters=HIDDEN), Par("again\r")]))
        assert texts(found) == ["seen again"]

    def test_lists_are_one_section(self, tmp_path: Path):
        found = read(tmp_path, "a.doc", word([Par("a\r", modifiers=LISTED), Par("b\r", modifiers=LISTED), Par("c\r")]))
        assert texts(found) == ["- a\n- b", "c"]

    def test_footnotes_follow_under_their_title(self, tmp_path: Path):
        found = read(tmp_path, "a.doc", word([Par("正文\x02。\r")], footnotes="\x02 注释一\r"))
        assert texts(found) == ["正文。", "注释一"]
        assert found.sections[1].place.heading == ("Footnotes",)

    def test_pictures_are_told(self, tmp_path: Path):
        assert "pictures" in read(tmp_path, "a.doc", word([Par("\x01 seal\r")])).warnings[0]
        with pytest.raises(EmptyFile, match="pictures"):
            read(tmp_path, "a.doc", word([Par("\x01\r")]))

    def test_word_95_is_read_in_the_code_page_of_its_language(self, tmp_path: Path):
        found = read(
            tmp_path, "a.doc", old_word("关于放假的通知\r姓名\x07部门\x07\x07张三\x07财务\x07\x07", "gbk", 0x0804)
        )
        assert texts(found) == ["关于放假的通知", "| 姓名 | 部门 |\n| --- | --- |\n| 张三 | 财务 |"]

    def test_a_password_is_told(self, tmp_path: Path):
        with pytest.raises(EncryptedFile):
            read(tmp_path, "a.doc", word([Par("x\r")], flags=0x0100))

    def test_pieces_that_overlap_are_refused(self, tmp_path: Path):
        count = 5000
        borders = struct.pack(f"<{count + 1}I", *range(0, 1000 * (count + 1), 1000))
        table = borders + b"".join(struct.pack("<HIH", 0, 0x40000000, 0) for _ in range(count))
        head = bytearray(word([Par("x\r")]))
        at = head.index(struct.pack("<H", 0xA5EC))
        main = bytearray(head[at : at + 4096])
        struct.pack_into("<2I", main, 0x9A + 8 * 33, 0, len(table) + 5)
        tables = b"\x02" + struct.pack("<I", len(table)) + table
        with pytest.raises(UnreadableFile):
            read(tmp_path, "a.doc", compound({"WordDocument": bytes(main), "1Table": tables}))


class TestPowerPoint:
    def test_slides_have_numbers_and_titles(self, tmp_path: Path):
        slides = [page(box(1, "要点一\r要点二"), box(0, "年度总结")), page(box(4, "谢谢"))]
        found = read(tmp_path, "a.ppt", powerpoint(slides))
        assert [(section.place.page, section.place.heading) for section in found.sections] == [
            (1, ("年度总结",)),
            (1, ("年度总结",)),
            (2, ()),
        ]
        assert texts(found) == ["年度总结", "要点一\n要点二", "谢谢"]

    def test_notes_are_marked_and_follow_their_slide(self, tmp_path: Path):
        notes = page(box(4, "2024"), box(2, "请放慢语速"), kind=0x03F0)
        found = read(tmp_path, "a.ppt", powerpoint([page(box(0, "一"), notes=1), page(box(0, "二"))], notes=[notes]))
        assert texts(found) == ["一\nNotes", "请放慢语速", "二"]
        assert found.sections[1].place.heading == ("一", "Notes")

    def test_a_table_is_rows(self, tmp_path: Path):
        cells = [("季度", 0, 0), ("收入", 500, 0), ("一季度", 0, 200), ("12.5", 500, 200)]
        boxes = [box(4, text, anchor=(left, top, left + 500, top + 200)) for text, left, top in reversed(cells)]
        found = read(tmp_path, "a.ppt", powerpoint([page(table(boxes))]))
        assert texts(found) == ["| 季度 | 收入 |\n| --- | --- |\n| 一季度 | 12.5 |"]

    def test_texts_kept_in_the_list_of_slides(self, tmp_path: Path):
        listed = atom(0x0F9F, struct.pack("<I", 0)) + atom(0x0FA8, b"Plan") + atom(0x0F9F, struct.pack("<I", 1))
        listed += atom(0x0FA0, "步骤".encode("utf-16-le"))
        assert texts(read(tmp_path, "a.ppt", powerpoint([page()], listed=[listed]))) == ["Plan", "步骤"]

    def test_dates_and_numbers_go_and_a_footer_stays_once(self, tmp_path: Path):
        shapes = [box(4, "*", role=8), box(4, "2024-1-1", role=7), box(4, "内部资料", role=9)]
        found = read(tmp_path, "a.ppt", powerpoint([page(box(4, "甲"), *shapes), page(box(4, "乙"), *shapes)]))
        assert texts(found) == ["甲", "内部资料", "乙"]

    def test_slides_are_found_without_their_list(self, tmp_path: Path):
        stream = page(box(0, "一")) + page(box(0, "二"))
        found = read(tmp_path, "a.ppt", compound({"PowerPoint Document": stream, "Current User": b""}))
        assert texts(found) == ["一", "二"]
        assert "damaged" in found.warnings[0]

    def test_a_file_for_two_versions_is_read_in_the_newer(self, tmp_path: Path):
        streams = {"PowerPoint Document": b"old", "PP97_DUALSTORAGE/PowerPoint Document": page(box(4, "新"))}
        assert texts(read(tmp_path, "a.ppt", compound(streams))) == ["新"]

    def test_a_password_is_told(self, tmp_path: Path):
        with pytest.raises(EncryptedFile):
            read(tmp_path, "a.ppt", powerpoint([page(box(4, "x"))], token=0xF3D1C4DF))

    def test_edits_that_point_at_each_other_end(self, tmp_path: Path):
        edit = atom(0x0FF5, struct.pack("<7I", 0, 0, 36, 0, 0, 0, 0)) + atom(
            0x0FF5, struct.pack("<7I", 0, 0, 0, 0, 0, 0, 0)
        )
        user = atom(0x0FF6, struct.pack("<III", 20, 0, 0))
        stream = edit + page(box(4, "还在"))
        assert texts(read(tmp_path, "a.ppt", compound({"PowerPoint Document": stream, "Current User": user}))) == [
            "还在"
        ]


class TestExcel:
    def test_values_are_shown_as_in_the_sheet(self, tmp_path: Path):
        rows = [("日期", "占比", "金额", "是否", "编号"), (45292, 0.125, 1234.5, True, 7), (45292.5, 1, 2, False, 7.25)]
        shapes = {(1, 0): "yyyy-mm-dd", (2, 0): "yyyy/m/d h:mm", (1, 1): "0.0%", (1, 2): "#,##0.00"}
        found = read(tmp_path, "a.xls", workbook({"明细": rows}, shapes=shapes))
        lines = texts(found)[0].splitlines()
        assert lines[2] == "| 2024-01-01 | 12.5% | 1,234.50 | TRUE | 7 |"
        assert lines[3] == "| 2024-01-01 12:00:00 | 1 | 2 | FALSE | 7.25 |"

    def test_sheets_and_rows_are_places(self, tmp_path: Path):
        found = read(
            tmp_path, "a.xls", workbook({"Sheet1": [("甲", "乙"), ("1", "2")], "预算": [("丙", "丁"), (1, 2)]})
        )
        assert [(one.place.sheet, one.place.heading, one.place.last_row) for one in found.sections] == [
            ("Sheet1", (), 2),
            ("预算", ("预算",), 2),
        ]

    def test_a_cell_over_rows_is_repeated(self, tmp_path: Path):
        rows = [("部门", "姓名"), ("财务部", "张三"), ("", "李四"), ("", ""), ("销售部", "王五")]
        found = read(tmp_path, "a.xls", workbook({"人员": rows}, merged=[(1, 3, 0, 0)]))
        assert "| 财务部 | 李四 |" in "\n".join(texts(found))
        assert "\n".join(texts(found)).count("财务部") == 2

    def test_a_password_is_told(self, tmp_path: Path):
        with pytest.raises(EncryptedFile):
            read(tmp_path, "a.xls", workbook({"a": [("x", "y")]}, is_encrypted=True))

    def test_a_bare_sheet_without_a_code_page(self, tmp_path: Path):
        cells = [("姓名", 0, 0), ("部门", 0, 1), ("张三", 1, 0), ("财务部", 1, 1)]
        content = struct.pack("<HHHHHH", 0x0809, 8, 0, 0x10, 0, 0)
        for text, number, column in cells:
            coded = text.encode("gbk")
            content += struct.pack("<6H", 0x0204, 8 + len(coded), number, column, 0, len(coded)) + coded
        found = read(tmp_path, "a.xls", content + struct.pack("<HH", 0x000A, 0))
        assert texts(found) == ["| 姓名 | 部门 |\n| --- | --- |\n| 张三 | 财务部 |"]

    def test_progress_is_reported(self, tmp_path: Path):
        file = source(written(tmp_path / "a.xls", workbook({"s": [(str(number), "x") for number in range(2100)]})))
        heard: list[int] = []
        LOADERS.build(".xls").load(replace(file, report=lambda done, _total: heard.append(done)))
        assert heard == [0, 1000, 2000]


class TestContainer:
    @pytest.mark.parametrize("name", ["a.doc", "a.ppt", "a.xls", "a.rtf"])
    def test_a_wrapper_of_a_protected_file_is_told(self, tmp_path: Path, name: str):
        with pytest.raises(EncryptedFile):
            read(tmp_path, name, compound({"EncryptedPackage": b"x" * 5000, "EncryptionInfo": b"y"}))

    def test_a_header_that_promises_too_much_is_refused(self, tmp_path: Path):
        content = bytearray(word([Par("x\r")]))
        struct.pack_into("<I", content, 44, 0x7FFFFFFF)
        with pytest.raises(UnreadableFile, match="directory"):
            read(tmp_path, "a.doc", bytes(content))

    def test_a_stream_that_promises_too_much_is_not_read(self, tmp_path: Path):
        content = bytearray(word([Par("x\r")]))
        at = content.index("WordDocument".encode("utf-16-le")) + 120
        struct.pack_into("<I", content, at, 0x7FFFFFFF)
        with pytest.raises(UnreadableFile):
            read(tmp_path, "a.doc", bytes(content))


@pytest.mark.corpora
@pytest.mark.skipif(not CORPORA.exists(), reason="the corpora are not here")
class TestCorpora:
    def test_a_loop_of_sectors_is_refused(self):
        with pytest.raises(UnreadableFile, match="damaged"):
            load(CORPORA / "hostile" / "office" / "ole_fat_loop.doc")

    @pytest.mark.parametrize(
        ("path", "phrases"),
        [
            ("doc/zh_headings_table.doc", ["居中的大标题", "| 21 | 22 | 23 |"]),
            ("ppt/ja_mixed_kanji.ppt", ["複数の文字", "表十ソ"]),
            ("xls/zh_provinces.xls", ["| Anhui | 安徽省 |"]),
            ("rtf/zh_gbk_hex.rtf", ["市政府情况反映"]),
        ],
    )
    def test_real_files(self, path: str, phrases: list[str]):
        whole = "\n".join(texts(load(CORPORA / "documents" / path)))
        assert all(phrase in whole for phrase in phrases)
