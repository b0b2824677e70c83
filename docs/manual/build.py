"""Makes the `samples` knowledge base out of the manuals beside this file: `make samples`.

The same content in four formats, so that every loader has something to show: the manual's first chapters as Markdown,
the whole manual printed to PDF by Chromium, its last chapters as a Word document, ports and formats as a workbook.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from docx import Document
from markdown_it import MarkdownIt
from openpyxl import Workbook
from playwright.sync_api import PdfMargins, sync_playwright

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parents[1] / "knowledge_base" / "samples" / "content"
_PAGE = """<html><head><meta charset="utf-8"><style>
body {{ font-family: "Noto Sans CJK SC", sans-serif; font-size: 11pt; line-height: 1.6; }}
h2 {{ page-break-before: always; }} h2:first-of-type {{ page-break-before: avoid; }}
</style></head><body>{body}</body></html>"""


@dataclass(frozen=True)
class Edition:
    """The manual in one language, and what its files are called."""

    source: str
    markdown: str
    pdf: str
    word: str
    workbook: str
    sheets: tuple[str, str]
    word_chapters: tuple[str, ...]
    ports: tuple[tuple[str | int, ...], ...]
    formats: tuple[tuple[str, ...], ...]


EDITIONS = (
    Edition(
        source="manual.zh.md",
        markdown="快速了解.md",
        pdf="用户手册.pdf",
        word="配置与故障排查.docx",
        workbook="端口与格式.xlsx",
        sheets=("端口", "格式"),
        word_chapters=("配置", "数据与备份", "故障排查"),
        ports=(
            ("服务", "默认端口", "配置项"),
            ("网页界面", 8501, "server.webui.port"),
            ("Chatchat API", 7861, "server.api.port"),
            ("内置 Milvus", 7862, "server.milvus.port"),
            ("内置 Milvus 的健康检查", 7863, "server.milvus_health.port"),
            ("文件索引进程（起始）", 7864, "server.ingest.port"),
            ("OpenAI 兼容网关", 20000, "server.gateway.port"),
            ("FastChat 控制器", 20001, "server.controller.port"),
            ("模型工作进程（起始）", 20002, "server.worker.port"),
        ),
        formats=(
            ("扩展名", "引用的位置", "说明"),
            (".txt", "标题", "自动识别 UTF-8、GB18030、UTF-16 等编码"),
            (".md", "标题路径", "表格整行保留"),
            (".html", "标题路径", "去除脚本和导航"),
            (".pdf", "页码", "没有文字层的页面用文字识别读取；有边框的表格按行读取"),
            (".docx", "标题路径", "正文、表格与图片按顺序读取"),
            (".csv / .tsv", "行号", "自动识别分隔符与编码"),
            (".xlsx / .xls", "工作表与行号", "读取单元格显示的值"),
            (".pptx / .ppt", "页码", "包括备注、批注和表格"),
            (".eml / .msg", "主题与附件名", "附件按各自的格式读取"),
            (".png / .jpg", "", "用文字识别读取"),
        ),
    ),
    Edition(
        source="manual.en.md",
        markdown="overview.md",
        pdf="user-manual.pdf",
        word="configuration-and-troubleshooting.docx",
        workbook="ports-and-formats.xlsx",
        sheets=("Ports", "Formats"),
        word_chapters=("Configuration", "Data and backup", "Troubleshooting"),
        ports=(
            ("Service", "Default port", "Setting"),
            ("Web UI", 8501, "server.webui.port"),
            ("Chatchat API", 7861, "server.api.port"),
            ("Embedded Milvus", 7862, "server.milvus.port"),
            ("Embedded Milvus, its health page", 7863, "server.milvus_health.port"),
            ("Processes that index files (from)", 7864, "server.ingest.port"),
            ("OpenAI-compatible gateway", 20000, "server.gateway.port"),
            ("FastChat controller", 20001, "server.controller.port"),
            ("First model worker", 20002, "server.worker.port"),
        ),
        formats=(
            ("Extension", "Cited by", "Remarks"),
            (".txt", "heading", "UTF-8, GB18030, UTF-16 and more are recognised"),
            (".md", "heading path", "table rows stay whole"),
            (".html", "heading path", "scripts and navigation are dropped"),
            (".pdf", "page", "pages without a text layer are read by OCR; ruled tables row by row"),
            (".docx", "heading path", "text, tables and pictures in their order"),
            (".csv / .tsv", "row", "separator and encoding are recognised"),
            (".xlsx / .xls", "sheet and row", "the values as the cells show them"),
            (".pptx / .ppt", "slide", "with notes, comments and tables"),
            (".eml / .msg", "subject and attachment", "attachments are read as what they are"),
            (".png / .jpg", "", "read by optical character recognition"),
        ),
    ),
)


def chapters(text: str) -> dict[str, list[str]]:
    """The lines of each second-level chapter by its title."""
    found: dict[str, list[str]] = {}
    title = ""
    for line in text.splitlines():
        if line.startswith("## "):
            title = line.removeprefix("## ")
            found[title] = []
        elif title:
            found[title].append(line)
    return found


def write_overview(edition: Edition, text: str) -> None:
    """The chapters that the Word document does not hold, as Markdown."""
    kept = [f"# {text.splitlines()[0].removeprefix('# ')}"]
    for title, lines in chapters(text).items():
        if title not in edition.word_chapters:
            kept += ["", f"## {title}", *lines]
    (SAMPLES / edition.markdown).write_text("\n".join(kept).strip() + "\n", encoding="utf-8")


def write_word(edition: Edition, text: str) -> None:
    """The chapters named by the edition as a Word document."""
    document = Document()
    document.add_heading(edition.word.removesuffix(".docx"), level=1)
    for title in edition.word_chapters:
        document.add_heading(title, level=2)
        for line in chapters(text)[title]:
            if line.startswith("### "):
                document.add_heading(line.removeprefix("### "), level=3)
            elif line.strip():
                document.add_paragraph(line)
    document.save(str(SAMPLES / edition.word))


def write_workbook(edition: Edition) -> None:
    """Ports and formats, a sheet each."""
    book = Workbook()
    for title, rows in zip(edition.sheets, (edition.ports, edition.formats), strict=True):
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.remove(book.worksheets[0])
    book.save(SAMPLES / edition.workbook)


def write_pdfs(texts: dict[Edition, str]) -> None:
    """The whole manuals, printed."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for edition, text in texts.items():
            page = browser.new_page()
            page.set_content(_PAGE.format(body=MarkdownIt("commonmark").render(text)))
            page.pdf(
                path=str(SAMPLES / edition.pdf),
                format="A4",
                margin=PdfMargins(top="20mm", bottom="20mm", left="20mm", right="20mm"),
            )
        browser.close()


def main() -> None:
    """Write the samples anew."""
    shutil.rmtree(SAMPLES, ignore_errors=True)
    SAMPLES.mkdir(parents=True)
    texts = {edition: (HERE / edition.source).read_text(encoding="utf-8") for edition in EDITIONS}
    for edition, text in texts.items():
        write_overview(edition, text)
        write_word(edition, text)
        write_workbook(edition)
    write_pdfs(texts)


if __name__ == "__main__":
    main()
