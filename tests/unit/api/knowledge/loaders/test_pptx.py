"""PowerPoint."""

import pytest
from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Cm

from services.api.domain.knowledge import SourceFile
from services.api.domain.names import FileName
from services.api.knowledge.loaders import LOADERS
from services.foundation.errors import EmptyFile, UnreadableFile
from tests.unit.api.knowledge.loaders.containers import (
    DRAWING,
    OFFICE_RELATIONS,
    places,
    presentation,
    relations,
    run,
    shape,
    slide,
)
from tests.unit.api.knowledge.loaders.making import load, texts


def box(slide, left, top, text):
    shape = slide.shapes.add_textbox(Cm(left), Cm(top), Cm(3), Cm(1))
    shape.text_frame.text = text
    return shape


def test_slides_in_reading_order_with_notes(tmp_path):
    show = Presentation()
    first = show.slides.add_slide(show.slide_layouts[1])
    box(first, 12, 10.2, "右")
    box(first, 1, 10.4, "左")
    box(first, 1, 16, "下")
    first.shapes.title.text = "年度总结"
    first.placeholders[1].text = "要点一\n要点二"
    first.notes_slide.notes_text_frame.text = "别忘了致谢"
    box(show.slides.add_slide(show.slide_layouts[6]), 1, 1, "无标题")
    show.save(str(tmp_path / "a.pptx"))
    assert places(load(tmp_path / "a.pptx")) == [
        ("年度总结", 1, ("年度总结",)),
        ("要点一\n要点二", 1, ("年度总结",)),
        ("左", 1, ("年度总结",)),
        ("右", 1, ("年度总结",)),
        ("下", 1, ("年度总结",)),
        ("Notes", 1, ("年度总结", "Notes")),
        ("别忘了致谢", 1, ("年度总结", "Notes")),
        ("无标题", 2, ()),
    ]


def test_groups_tables_and_charts(tmp_path):
    show = Presentation()
    slide = show.slides.add_slide(show.slide_layouts[6])
    group = slide.shapes.add_group_shape().shapes.add_group_shape()
    group.shapes.add_textbox(Cm(1), Cm(1), Cm(2), Cm(1)).text_frame.text = "组内"
    table = slide.shapes.add_table(3, 3, Cm(1), Cm(3), Cm(9), Cm(3)).table
    for number, text in enumerate(("部门", "上半年", "", "甲", "1", "2", "", "3", "4")):
        table.cell(number // 3, number % 3).text = text
    table.cell(0, 1).merge(table.cell(0, 2))
    table.cell(1, 0).merge(table.cell(2, 0))
    figures = CategoryChartData()
    figures.categories = ["华东", "华南"]
    figures.add_series("销量", (4.3, 2.5))
    chart = slide.shapes.add_chart(XL_CHART_TYPE.PIE, Cm(1), Cm(9), Cm(9), Cm(6), figures).chart
    chart.chart_title.text_frame.text = "各区销量"
    show.save(str(tmp_path / "a.pptx"))
    assert texts(load(tmp_path / "a.pptx")) == [
        "组内",
        "| 部门 | 上半年 | 上半年 |\n| --- | --- | --- |\n| 甲 | 1 | 2 |\n| 甲 | 3 | 4 |",
        "各区销量",
        "|  | 销量 |\n| --- | --- |\n| 华东 | 4.3 |\n| 华南 | 2.5 |",
    ]


def test_comments_of_both_kinds(tmp_path):
    main = "http://schemas.openxmlformats.org/presentationml/2006/main"
    newer = "http://schemas.microsoft.com/office/powerpoint/2018/8/main"
    parts = {
        "ppt/commentAuthors.xml": f'<p:cmAuthorLst xmlns:p="{main}"><p:cmAuthor id="0" name="王"/></p:cmAuthorLst>',
        "ppt/authors.xml": f'<p:authorLst xmlns:p="{newer}"><p:author id="{{A}}" name="Li"/></p:authorLst>',
        "ppt/slides/_rels/slide1.xml.rels": relations(
            ("a", f"{OFFICE_RELATIONS}/comments", "../comments/comment1.xml"),
            ("b", "http://schemas.microsoft.com/office/2018/10/relationships/comments", "../comments/modern.xml"),
        ),
        "ppt/comments/comment1.xml": (
            f'<p:cmLst xmlns:p="{main}"><p:cm authorId="0"><p:text>旧批注</p:text></p:cm></p:cmLst>'
        ),
        "ppt/comments/modern.xml": (
            f'<p:cmLst xmlns:p="{newer}" xmlns:a="{DRAWING}"><p:cm authorId="{{A}}"><p:replyLst>'
            f'<p:reply authorId="{{A}}"><p:txBody><a:p>{run("Reply.")}</a:p></p:txBody></p:reply></p:replyLst>'
            f"<p:txBody><a:p>{run('Question?')}</a:p></p:txBody></p:cm></p:cmLst>"
        ),
    }
    document = load(presentation(tmp_path / "a.pptx", [slide(shape(run("正文")))], parts))
    assert texts(document) == ["正文", "Comments", "王: 旧批注", "Li: Question?", "Li: Reply."]
    assert document.sections[-1].place.heading == ("Comments",)


def test_formulas_fields_and_versions_for_old_programs(tmp_path):
    formula = "<a14:m><m:oMath><m:r><m:t>E=m</m:t></m:r><m:r><m:t>c²</m:t></m:r></m:oMath></a14:m>"
    number = '<a:fld type="slidenum"><a:t>7</a:t></a:fld>'
    shapes = (
        f"<mc:AlternateContent><mc:Choice>{shape(run('式：') + formula)}</mc:Choice>"
        f"<mc:Fallback>{shape(run('旧'))}</mc:Fallback></mc:AlternateContent>"
        f"{shape(number)}{shape(run('7'), 'sldNum')}{shape(run('机密'), 'ftr')}"
    )
    document = load(presentation(tmp_path / "a.pptx", [slide(shapes), slide(shapes)]))
    assert texts(document) == ["式：E=mc2", "机密", "式：E=mc2"]


def test_a_slide_of_a_strict_file_is_read(tmp_path):
    strict = slide(shape(run("严格"))).replace(
        "http://schemas.openxmlformats.org/drawingml/2006/main", "http://purl.oclc.org/ooxml/drawingml/main"
    )
    assert texts(load(presentation(tmp_path / "a.pptx", [strict]))) == ["严格"]


def test_missing_slides_and_pictures_are_said(tmp_path):
    document = load(presentation(tmp_path / "a.pptx", ["", slide(shape(run("在")) + "<p:pic/>")]))
    assert [(section.text, section.place.page) for section in document.sections] == [("在", 2)]
    assert document.warnings == (
        "slide 1 is missing from the file",
        "text inside 1 picture was not read: not in the file",
    )
    with pytest.raises(EmptyFile, match="slide 1 is missing"):
        load(presentation(tmp_path / "b.pptx", [""]))


def test_progress_is_reported_by_slide(tmp_path):
    path = presentation(tmp_path / "a.pptx", [slide(shape(run("一"))), slide(shape(run("二")))])
    heard = []
    LOADERS.build(".pptx").load(
        SourceFile(FileName.parse(path.name), path, report=lambda done, total: heard.append((done, total)))
    )
    assert heard == [(1, 2), (2, 2)]


@pytest.mark.timeout(30)
def test_deep_groups_end(tmp_path):
    deep = "<p:grpSp>" * 100_000 + "</p:grpSp>" * 100_000
    with pytest.raises(UnreadableFile):
        load(presentation(tmp_path / "a.pptx", [slide(deep)]))
