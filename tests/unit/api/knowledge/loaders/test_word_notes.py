"""Footnotes and comments of Word documents."""

import docx

from tests.unit.api.knowledge.loaders.containers import packed
from tests.unit.api.knowledge.loaders.making import load, texts


def test_word_notes_and_comments_follow_the_body(tmp_path):
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'

    def paragraph(text):
        return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"

    path = packed(
        tmp_path / "a.docm",
        {
            "word/document.xml": f"<w:document {space}><w:body>{paragraph('正文')}</w:body></w:document>",
            "word/footnotes.xml": f'<w:footnotes {space}><w:footnote w:type="separator">{paragraph("线")}</w:footnote>'
            f"<w:footnote>{paragraph('见附录')}</w:footnote></w:footnotes>",
            "word/comments.xml": f"<w:comments {space}>"
            f'<w:comment w:author="王">{paragraph("待核实")}</w:comment></w:comments>',
        },
    )
    document = load(path)
    assert texts(document) == ["正文", "Footnotes", "见附录", "Comments", "王: 待核实"]
    assert document.sections[-1].place.heading == ("Comments",)


def test_word_without_notes_has_no_heading_for_them(tmp_path):
    word = docx.Document()
    word.add_paragraph("正文")
    word.save(str(tmp_path / "a.docx"))
    assert texts(load(tmp_path / "a.docx")) == ["正文"]
