"""E-mail messages as mail programs save them (RFC 5322 and MIME): headers, body, attachments, attached messages."""

from __future__ import annotations

import itertools
from io import BytesIO
from typing import ClassVar

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders.mail.bodies import Body
from services.api.knowledge.loaders.mail.letter import kind_of, letter
from services.api.knowledge.loaders.mail.message import Mail, attached, content_of, file_name, header, leaves, parse
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.nested import Parts, parts_of

_LEAF_LIMIT = 2000
_SHOWN = ("From", "To", "Cc", "Date")
_MESSAGES = frozenset({"message/rfc822", "message/global"})
_SIGNATURES = frozenset({"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"})


class EmlLoader:
    """Reads .eml."""

    extensions: ClassVar[frozenset[str]] = frozenset({".eml"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            require_text(file)
            return _read(file, parse(file))


def _read(file: SourceFile, message: Mail) -> Document:
    found = list(itertools.islice(leaves(message), _LEAF_LIMIT + 1))
    body = Body(file)
    others = [part for part, group in found[:_LEAF_LIMIT] if not body.takes(part, group)]
    text = body.read()
    with parts_of(file) as parts:
        for part in others:
            if not body.shows(part) and part.get_content_type() not in _SIGNATURES:
                _add(parts, file, part)
    lines = [(name, header(message, name)) for name in _SHOWN]
    sections = letter(header(message, "Subject"), lines, [*text.sections, *parts.sections])
    cut = [f"only the first {_LEAF_LIMIT} parts of the message were read"] if len(found) > _LEAF_LIMIT else []
    return document(file, sections, [*text.warnings, *parts.warnings, *cut])


def _add(parts: Parts, file: SourceFile, part: Mail) -> None:
    kind = part.get_content_type()
    inner = attached(part) if kind in _MESSAGES else None
    if inner is None:
        parts.add(file_name(part) or kind, lambda: BytesIO(content_of(part)), kind_of(kind))
    else:
        name = file_name(part) or header(inner, "Subject") or "attached message"
        parts.inside(name, lambda: _read(file, inner))
