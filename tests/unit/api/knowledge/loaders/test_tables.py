from services.api.domain.knowledge import Place
from services.api.knowledge.loaders.reading.rows import Row, row_sections
from services.api.knowledge.loaders.reading.tables import Cell, render


def rows_of(*rows):
    return [[Cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]


def rendered(*rows):
    return [block.text for block in render(rows_of(*rows))]


def test_header_rule_and_rows():
    assert rendered(["项目", "金额"], ["收入", "1|2"]) == ["| 项目 | 金额 |\n| --- | --- |\n| 收入 | 1\\|2 |"]


def test_two_level_header_is_merged_downwards():
    found = rendered(["股东", Cell("质押", columns=2)], [Cell("股东", rows=1), "状态", "数量"])
    assert "质押 " not in found[0].split("\n")[2]
    merged = rendered(
        [Cell("股东", rows=2), Cell("质押", columns=2)], ["状态", "数量"], ["甲", "冻结", "81"], ["乙", "无", "0"]
    )
    assert merged[0].startswith("| 股东 | 质押 状态 | 质押 数量 |\n")


def test_merged_body_cells_reach_down_but_not_right():
    found = rendered(["a", "b", "c"], [Cell("x", rows=2), "1", "2"], ["3", "4"], [Cell("y", columns=2), "5"])
    assert found[0].split("\n")[2:] == ["| x | 1 | 2 |", "| x | 3 | 4 |", "| y |  | 5 |"]


def test_currency_signs_join_their_numbers_and_empty_columns_go():
    found = rendered(
        ["", Cell("2023", columns=2), Cell("2022", columns=2)],
        ["Revenue", "$", "1,200", "$", "900"],
        ["Loss", "", "(3", "", ")"],
    )
    assert found[0].split("\n")[:3] == ["|  | 2023 | 2022 |", "| --- | --- | --- |", "| Revenue | $1,200 | $900 |"]


def test_a_full_width_row_captions_the_table_below():
    found = rendered(["a", "b"], ["1", "2"], [Cell("前十名", columns=2)], ["名", "数"], ["甲", "3"])
    assert found[1] == "前十名"
    assert found[2].startswith("| 名 | 数 |\n| --- |")


def test_a_second_header_in_mid_table_begins_a_new_one():
    found = rendered(["", "本期"], ["收入", "1"], ["", "期末"], ["资产", "2"])
    assert [part.split("\n")[0] for part in found] == ["|  | 本期 |", "|  | 期末 |"]


def test_one_column_is_prose():
    assert rendered(["a"], ["b"]) == ["a\nb"]


def test_hostile_spans_are_bounded():
    assert len(rendered([Cell("a", rows=10**9, columns=10**9), "b"], ["c", "d"])) <= 2


def numbered(*rows):
    return [Row(number, cells) for number, cells in rows]


def test_numbered_rows_with_title_header_and_gap():
    rows = numbered(
        (1, ["销售"]), (2, ["品", "价"]), (3, ["茶", "9"]), (5, ["库存"]), (6, ["品", "量"]), (7, ["茶", "2"])
    )
    sections = list(row_sections(rows, Place(sheet="一")))
    assert [section.text.split("\n")[0] for section in sections] == ["销售", "| 品 | 价 |", "库存", "| 品 | 量 |"]
    assert [(section.place.row, section.place.last_row) for section in sections] == [(1, 3), (1, 3), (5, 7), (5, 7)]
    assert sections[3].place.heading == ("库存",)


def test_the_header_is_repeated_for_each_group():
    rows = numbered((1, ["n", "v"]), *((number, [f"r{number}", "1"]) for number in range(2, 130)))
    sections = list(row_sections(rows, Place()))
    assert len(sections) == 3
    assert all(section.text.startswith("| n | v |\n") and section.whole for section in sections)
    assert (sections[1].place.row, sections[1].place.last_row) == (52, 101)


def test_rows_of_figures_are_no_header():
    sections = list(row_sections(numbered((1, ["1", "2"]), (2, ["3", "4"])), Place()))
    assert sections[0].text == "| 1 | 2 |\n| 3 | 4 |"
