"""The loader shelf: extension → class. One file or folder per format, one line per extension here."""

from services.api.domain.ports import Loader
from services.foundation.registry import Registry

LOADERS: Registry[Loader] = Registry(
    "loader",
    __name__,
    {
        ".csv": "delimited:DelimitedLoader",
        ".docx": "docx:DocxLoader",
        ".htm": "html:HtmlLoader",
        ".html": "html:HtmlLoader",
        ".markdown": "markdown:MarkdownLoader",
        ".md": "markdown:MarkdownLoader",
        ".pdf": "pdf.loader:PdfLoader",
        ".tsv": "delimited:DelimitedLoader",
        ".txt": "plain:PlainLoader",
        ".xlsx": "xlsx:XlsxLoader",
    },
)


def supported_extensions() -> list[str]:
    """The extensions files may have, in order, each with its dot."""
    return list(LOADERS)
