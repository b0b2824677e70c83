"""The body of a MIME message: its texts in order, and of several versions of one text (plain, HTML) the better one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.mail.letter import mentions, read_page, read_plain, richer
from services.api.knowledge.loaders.mail.message import Mail, charset_of, content_of, file_name
from services.api.knowledge.loaders.reading.charsets import text_of

_SOFT_END = re.compile(r"(?<!--) \r?\n(?=[^>\s])")


@dataclass(frozen=True, slots=True)
class _Versions:
    plain: list[str] = field(default_factory=list)
    pages: list[str | bytes] = field(default_factory=list)


class Body:
    """Takes the leaves that are text of the message itself and reads them."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._texts: dict[int, _Versions] = {}
        self._warnings: list[str] = []

    def takes(self, part: Mail, group: int) -> bool:
        """Keep a leaf if it belongs to the body. Leaves of one group (not 0) are versions of one text."""
        kind = part.get_content_type()
        if part.get_content_disposition() == "attachment" or file_name(part):
            return False
        if kind == "text/html":
            self._versions(part, group).pages.append(self._page(part))
        elif kind == "text/plain" or part.get_content_maintype() == "multipart":  # one that could not be parsed
            self._versions(part, group).plain.append(_reflowed(part, self._text(part)))
        else:
            return False
        return True

    def shows(self, part: Mail) -> bool:
        """Whether a leaf is a picture that stands in the text, such as a logo."""
        if part.get_content_maintype() != "image":
            return False
        if part.get_content_disposition() != "attachment" and not file_name(part):
            return True
        return any(mentions(page, str(part.get("content-id", ""))) for page in self._pages())

    def read(self) -> Document:
        """All texts; a document without sections when there is none."""
        sections: list[Section] = []
        warnings = list(self._warnings)
        for versions in self._texts.values():
            plain = read_plain(self._file, "\n\n".join(versions.plain))
            pages = [read_page(self._file, page) for page in versions.pages]
            page = Document(
                tuple(section for found in pages for section in found.sections),
                tuple(warning for found in pages for warning in found.warnings),
            )
            chosen = richer(plain, page)
            sections.extend(chosen.sections)
            warnings.extend(chosen.warnings)
        return Document(tuple(sections), tuple(dict.fromkeys(warnings)))

    def _versions(self, part: Mail, group: int) -> _Versions:
        return self._texts.setdefault(group or id(part), _Versions())

    def _pages(self) -> list[str | bytes]:
        return [page for versions in self._texts.values() for page in versions.pages]

    def _page(self, part: Mail) -> str | bytes:
        return self._text(part) if charset_of(part) else content_of(part)

    def _text(self, part: Mail) -> str:
        text, warnings = text_of(content_of(part), charset_of(part))
        self._warnings.extend(warnings)
        return text


def _reflowed(part: Mail, text: str) -> str:
    """Text whose lines the program broke while sending (RFC 3676), with those ends taken out."""
    if str(part.get_param("format", "")).lower() != "flowed":
        return text
    return _SOFT_END.sub("" if str(part.get_param("delsp", "")).lower() == "yes" else " ", text)
