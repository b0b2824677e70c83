"""What is drawn on a page without its characters: all that finding rulings needs."""

from __future__ import annotations

from pdfminer.layout import LTPage
from pdfminer.pdfinterp import PDFPageInterpreter
from pdfplumber.page import Page, PDFPageAggregatorWithMarkedContent
from pdfplumber.pdf import PDF


def drawing(pdf: PDF, index: int) -> Page:
    """The page of that number, from 0, as pdfplumber has it, but without text."""
    whole = pdf.pages[index]
    return _Drawing(pdf, whole.page_obj, whole.page_number, whole.initial_doctop)


class _Drawing(Page):
    """A page of lines, rectangles, curves and pictures."""

    @property
    def layout(self) -> LTPage:
        device = _Pen(self.pdf.rsrcmgr, pageno=self.page_number, laparams=self.pdf.laparams)
        PDFPageInterpreter(self.pdf.rsrcmgr, device).process_page(self.page_obj)
        return device.get_result()


class _Pen(PDFPageAggregatorWithMarkedContent):
    """Draws everything but text: pdfplumber makes an object with twenty attributes of each character."""

    def render_string(self, *_: object) -> None:
        return
