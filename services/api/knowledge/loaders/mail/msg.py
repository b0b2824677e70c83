"""Outlook messages ([MS-OXMSG]): headers, body (text, HTML or compressed RTF), attachments, embedded messages."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import ClassVar

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders.legacy.container import SIGNATURE, open_container
from services.api.knowledge.loaders.mail.letter import (
    kind_of,
    letter,
    mentions,
    read_page,
    read_plain,
    read_rtf,
    richer,
)
from services.api.knowledge.loaders.mail.properties import PROPERTIES, Storage, codec_of
from services.api.knowledge.loaders.mail.rtf import decompress
from services.api.knowledge.loaders.reading.charsets import encoding_of, text_of
from services.api.knowledge.loaders.reading.content_type import identify
from services.api.knowledge.loaders.reading.encodings import Encoding
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.nested import Parts, parts_of
from services.foundation.errors import UnreadableFile

_HEAD_BYTES = 4096
_FILE_HEADER, _EMBEDDED_HEADER, _CHILD_HEADER = 32, 24, 8

_SUBJECT, _BODY, _HTML, _RTF = 0x0037, 0x1000, 0x1013, 0x1009
_SENDER, _SENT_FOR = (0x0C1A, 0x5D01, 0x0C1F), (0x0042, 0x5D02, 0x0065)
_TIMES = (0x0039, 0x0E06, 0x3007)
_SHOWN_RECIPIENTS = ((1, "To", 0x0E04), (2, "Cc", 0x0E03))
_RECIPIENT, _RECIPIENT_TYPE = (0x3001, 0x39FE, 0x3003), 0x0C15
_MESSAGE_CODE_PAGE, _INTERNET_CODE_PAGE, _LOCALE = 0x3FFD, 0x3FDE, 0x3FF1
_LOCALE_CODE_PAGES = {0x0404: 950, 0x0804: 936, 0x0C04: 950, 0x1004: 936, 0x1404: 950, 0x0411: 932, 0x0412: 949}
_NAMES, _CONTENT, _METHOD, _MIME, _CONTENT_ID = (0x3707, 0x3704, 0x3001), 0x3701, 0x3705, 0x370E, 0x3712
_BY_REFERENCE = frozenset({2, 3, 4, 7})


class MsgLoader:
    """Reads .msg."""

    extensions: ClassVar[frozenset[str]] = frozenset({".msg"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            _require_compound(file)
            with open_container(file) as container:
                if PROPERTIES not in container:
                    reason = "it is an Office file of the old format, not an Outlook message"
                    raise UnreadableFile(file=file.name.value, reason=reason)
                return _read(file, Storage(container, "", _FILE_HEADER))


def _require_compound(file: SourceFile) -> None:
    with file.path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
    if not head.startswith(SIGNATURE):
        found = identify(head) or "something else"
        raise UnreadableFile(file=file.name.value, reason=f"it is {found}, not an Outlook message")


def _read(file: SourceFile, stored: Storage) -> Document:
    message = replace(stored, encoding=_encoding(stored))
    markup, notes = _markup(message)
    body = _body(file, message, markup)
    with parts_of(file) as parts:
        for attachment in _attachments(message):
            _add(parts, file, attachment, markup)
    sections = letter(message.text(_SUBJECT), _lines(message), [*body.sections, *parts.sections])
    return document(file, sections, [*message.encoding.warnings, *notes, *body.warnings, *parts.warnings])


def _encoding(message: Storage) -> Encoding:
    """Of all 8-bit strings of a message, told from those that are read together with the code page it names."""
    strings = [message.string8(tag) for tag in (_SUBJECT, _BODY, _SENDER[0], _SENT_FOR[0])]
    strings += [recipient.string8(_RECIPIENT[0]) for recipient in _recipients(message)]
    strings += [attachment.string8(tag) for attachment in _attachments(message) for tag in _NAMES]
    pages = (
        message.number(_MESSAGE_CODE_PAGE),
        message.number(_INTERNET_CODE_PAGE),
        _LOCALE_CODE_PAGES.get(message.number(_LOCALE), 0),
    )
    return encoding_of(b"\n".join(strings), next((codec_of(page) for page in pages if page), ""))


def _recipients(message: Storage) -> Iterator[Storage]:
    return message.children("__recip_version1.0_#", _CHILD_HEADER)


def _attachments(message: Storage) -> Iterator[Storage]:
    return message.children("__attach_version1.0_#", _CHILD_HEADER)


def _markup(message: Storage) -> tuple[str | bytes, tuple[str, ...]]:
    """The HTML body; as bytes when only the page itself can say its charset."""
    content = message.binary(_HTML) or message.string8(_HTML)
    page = message.number(_INTERNET_CODE_PAGE)
    if content and page:
        return text_of(content, codec_of(page))
    return content or message.text(_HTML), ()


def _body(file: SourceFile, message: Storage, markup: str | bytes) -> Document:
    body = richer(read_plain(file, message.text(_BODY)), read_page(file, markup))
    if body.sections:
        return body
    compressed = message.binary(_RTF)
    return read_rtf(file, decompress(compressed)) if compressed else body


def _lines(message: Storage) -> list[tuple[str, str]]:
    named = [(one.number(_RECIPIENT_TYPE) or 1, _person(one, _RECIPIENT)) for one in _recipients(message)]
    times = filter(None, map(message.moment, _TIMES))
    return [
        ("From", _person(message, _SENDER) or _person(message, _SENT_FOR)),
        *(
            (line, ", ".join(person for of, person in named if of == kind and person) or message.text(shown))
            for kind, line, shown in _SHOWN_RECIPIENTS
        ),
        ("Date", _shown(next(times, None))),
    ]


def _person(stored: Storage, tags: tuple[int, int, int]) -> str:
    """A name and the first address that is one of the Internet's; an Exchange server's own say nothing to people."""
    name, *addresses = (stored.text(tag) for tag in tags)
    address = next((address for address in addresses if "@" in address and address not in name), "")
    return f"{name} <{address}>" if name and address else name or address


def _shown(moment: datetime.datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else ""


def _add(parts: Parts, file: SourceFile, attachment: Storage, markup: str | bytes) -> None:
    name = next(filter(None, map(attachment.text, _NAMES)), "")
    inner = attachment.embedded(_CONTENT, _EMBEDDED_HEADER)
    if inner is not None:
        parts.inside(name or inner.text(_SUBJECT) or "attached message", lambda: _read(file, inner))
    elif mentions(markup, attachment.text(_CONTENT_ID)):
        return  # a picture that stands in the text
    elif attachment.number(_METHOD) in _BY_REFERENCE:
        parts.skip(name, "it is only a link to a file")
    else:
        parts.add(name, lambda: BytesIO(attachment.binary(_CONTENT)), kind_of(attachment.text(_MIME)))
