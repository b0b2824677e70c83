import threading

import pytest

from services.api.knowledge.loaders.pdf.furniture import Furniture
from services.api.knowledge.loaders.pdf.paragraphs import paragraphs
from services.api.knowledge.splitters.sentences import SentenceSplitter
from services.foundation.errors import EmptyFile, UnreadableFile
from tests.unit.api.knowledge.loaders.making import lines_of_text, load, pdf, ruled_table, texts, written


def test_pages_and_silent_pages(tmp_path):
    content = pdf([lines_of_text(["First page text."]), "0 0 m 9 9 l S", lines_of_text(["Third page text."])])
    document = load(written(tmp_path / "a.pdf", content))
    assert [(section.text, section.place.page) for section in document.sections] == [
        ("First page text.", 1),
        ("Third page text.", 3),
    ]
    assert document.warnings == ("page 2: no text was found, neither as a text layer nor in the picture of the page",)


def test_pages_without_any_text_are_named(tmp_path):
    with pytest.raises(EmptyFile, match="page 1: no text was found"):
        load(written(tmp_path / "a.pdf", pdf(["0 0 m 9 9 l S"])))


def test_a_ruled_table_is_read_once_in_its_place(tmp_path):
    rows = [["Item", "This quarter", "Last year"], ["Revenue", "4,755", "5,699"], ["Return", "-2.34%", "-8.06%"]]
    page = f"{lines_of_text(['Key figures'])}\n{ruled_table(rows)}\n{lines_of_text(['After the table.'], 400)}"
    document = load(written(tmp_path / "a.pdf", pdf([page])))
    assert texts(document) == [
        "Key figures",
        "\n".join(
            [
                "| Item | This quarter | Last year |",
                "| --- | --- | --- |",
                "| Revenue | 4,755 | 5,699 |",
                "| Return | -2.34% | -8.06% |",
            ]
        ),
        "After the table.",
    ]


def test_running_titles_become_the_heading_and_page_numbers_go(tmp_path):
    pages = [lines_of_text(["Quarterly report 2018", f"Body of page {n} here.", f"{n}"]) for n in range(1, 6)]
    document = load(written(tmp_path / "a.pdf", pdf(pages)))
    assert texts(document) == ["Quarterly report 2018", *(f"Body of page {n} here." for n in range(1, 6))]
    assert {section.place.heading for section in document.sections} == {("Quarterly report 2018",)}


def test_junk_before_the_header_is_allowed(tmp_path):
    assert texts(load(written(tmp_path / "a.pdf", b"junk\n" * 100 + pdf([lines_of_text(["Found it."])])))) == [
        "Found it."
    ]


@pytest.mark.parametrize("content", [b"%PDF-1.4\nnoise" * 50, b"MZ\x90\x00" + bytes(200)])
def test_damaged_or_wrong(tmp_path, content):
    with pytest.raises(UnreadableFile):
        load(written(tmp_path / "a.pdf", content))


def test_a_damaged_page_does_not_take_the_others_with_it(tmp_path):
    content = pdf([lines_of_text(["First page."]), lines_of_text(["Lost page."]), lines_of_text(["Third page."])])
    assert b"[4 0 R 6 0 R 8 0 R]" in content
    document = load(written(tmp_path / "a.pdf", content.replace(b"6 0 R 8 0 R", b"null 8 0 R")))
    assert [(section.text, section.place.page) for section in document.sections] == [
        ("First page.", 1),
        ("Third page.", 3),
    ]
    assert document.warnings == ("page 2: damaged, and not read",)


def test_threads_take_turns(tmp_path):
    path = written(tmp_path / "a.pdf", pdf([lines_of_text(["Same text."])] * 20))
    found = []
    threads = [threading.Thread(target=lambda: found.append(len(load(path).sections))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 4


def test_paragraphs():
    lines = [
        "劳动者的合法权益，构建和发展和谐稳定的劳动关系",
        "，制定本法。",
        "第二条中华人民共和国境内的企业、个体经济组织",
        "适用本法。",
    ]
    assert list(paragraphs(lines, 66)) == [lines[0] + lines[1], lines[2] + lines[3]]


def test_furniture_needs_several_pages():
    assert Furniture.of([["Title", "text"], ["Title", "more"]]).title == ""
    assert Furniture.of([["1 Title", "a"], ["2 Title", "b"], ["3 Title", "c"]]).title == "Title"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("depth", [9, 0])
def test_forms_drawn_without_end_are_refused(tmp_path, depth):
    """Ten draws in each of nine forms, or a form that draws itself."""
    count = max(depth, 1)
    objects = [
        f"{10 + n} 0 obj\n<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] "
        f"/Resources << /XObject << /F {10 + (n + 1) % count} 0 R >> >> /Length 60 >>\nstream\n"
        f"{('/F Do ' * 10 if n < depth - 1 or not depth else 'q Q').ljust(60)}\nendstream\nendobj\n"
        for n in range(count)
    ]
    content = pdf([f"{lines_of_text(['Text.'])} /F Do"]).decode("latin-1")
    content = content.replace("/Font <<", "/XObject << /F 10 0 R >> /Font <<", 1)
    start = content.index("xref")
    broken = content[:start] + "".join(objects) + "trailer\n<< /Root 1 0 R >>\n%%EOF\n"  # readers rebuild the table
    with pytest.raises(UnreadableFile, match="forms"):
        load(written(tmp_path / "a.pdf", broken.encode("latin-1")))


@pytest.mark.timeout(20)
def test_references_that_lead_to_each_other_are_refused(tmp_path):
    content = pdf([lines_of_text(["Text."])]) + b"8 0 obj\n9 0 R\nendobj\n9 0 obj\n8 0 R\nendobj\n"
    with pytest.raises(UnreadableFile, match="refer to each other"):
        load(written(tmp_path / "a.pdf", content))


@pytest.mark.corpora
def test_the_quarterly_report_answers_with_figure_period_and_page(corpora):
    document = load(corpora / "documents" / "pdf" / "zh_quarterly_report_tables.pdf")
    found = [one for one in SentenceSplitter().split(document) if "加权平均净资产收益率" in one.text]
    assert len(found) == 1
    assert "| 加权平均净资产收益率 | -2.34% | -8.06% |" in found[0].text
    assert "本报告期" in found[0].text
    assert found[0].place.page == 3
    assert "2018 年第一季度报告" in found[0].place.heading[0]
