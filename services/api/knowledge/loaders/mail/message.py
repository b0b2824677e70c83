"""Parsing MIME (RFC 5322, 2045) with the standard library: raw 8-bit headers mended, leaves without recursion."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from email.policy import Compat32

from services.api.domain.knowledge import SourceFile
from services.api.knowledge.loaders.mail.words import decode_words, header_text
from services.api.knowledge.loaders.reading.charsets import text_of
from services.api.knowledge.loaders.reading.encodings import detect
from services.foundation.errors import EmptyFile, UnreadableFile

Mail = Message

_DEFAULT_CHARSET = "gb18030"
_STRUCTURAL_CHARS = 4000
_LEADING = b"\xef\xbb\xbf \t\r\n"
_KNOWN = ("from", "to", "subject", "date", "received", "message-id", "mime-version", "content-type", "x-mailer")


class _Mending(Compat32):
    """Header bytes beyond ASCII, which the standard forbids and mail programs write, become text."""

    charset: str

    def __init__(self, charset: str) -> None:
        super().__init__()
        object.__setattr__(self, "charset", charset)  # a policy is frozen

    def header_fetch_parse(self, name: str, value: str) -> str:
        text = _mended(value, self.charset)
        # The standard library takes quadratic time to take the parameters of a hostile header apart.
        return text[:_STRUCTURAL_CHARS] if name.lower().startswith("content-") else text


def _mended(value: str, charset: str) -> str:
    raw = value.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode(charset, "replace")


def parse(file: SourceFile) -> Mail:
    """The message a file holds.

    Raises:
        EmptyFile: there is nothing but white space.
        UnreadableFile: it has none of the headers that any message has.
    """
    content = file.path.read_bytes().lstrip(_LEADING)
    if not content:
        raise EmptyFile(file=file.name.value, reason="there is nothing in it but white space")
    try:
        message = _parsed(content, _header_charset(file))
    except RecursionError as deep:
        raise UnreadableFile(file=file.name.value, reason="its parts are nested hundreds of levels deep") from deep
    if not any(name in message for name in _KNOWN):
        raise UnreadableFile(file=file.name.value, reason="it is not a message: it has no header lines")
    return message


def _parsed(content: bytes, charset: str) -> Mail:
    return BytesParser(policy=_Mending(charset)).parsebytes(content)


def _header_charset(file: SourceFile) -> str:
    try:
        return detect(file).name
    except UnreadableFile:
        return _DEFAULT_CHARSET


def header(message: Mail, name: str) -> str:
    """All values of a header as text."""
    return ", ".join(filter(None, (header_text(value) for value in message.get_all(name, []))))


def leaves(message: Mail) -> Iterator[tuple[Mail, int]]:
    """The parts that hold content, in order, each with the identity of the alternatives it is one of, or 0."""
    stack = [(message, 0)]
    while stack:
        part, group = stack.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            inner = group or (id(part) if part.get_content_subtype() == "alternative" else 0)
            stack.extend((child, inner) for child in reversed(_children(part)))
        else:
            yield part, group


def _children(part: Mail) -> list[Mail]:
    # Asked for the payload of a leaf, the standard library would decode it by whatever codec the message names.
    children = part.get_payload() if part.is_multipart() else []
    return [child for child in children if isinstance(child, Message)] if isinstance(children, list) else []


def content_of(part: Mail) -> bytes:
    """The bytes of a leaf, transfer encoding undone as far as it goes."""
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def charset_of(part: Mail) -> str:
    """The charset a leaf declares, or an empty string."""
    return _parameter(part, "charset", "content-type")


def file_name(part: Mail) -> str:
    """The name a leaf declares, or an empty string."""
    name = _parameter(part, "filename", "content-disposition") or _parameter(part, "name", "content-type")
    return header_text(name)


def _parameter(part: Mail, name: str, of_header: str) -> str:
    value = part.get_param(name, "", of_header)
    if isinstance(value, tuple):
        charset, _, text = value
        return text_of(text.encode("latin-1", "replace"), charset or "")[0]
    return decode_words(str(value or ""))


def attached(part: Mail) -> Mail | None:
    """The message inside a message/rfc822 part, one that was wrongly put in base64 included."""
    inner = next(iter(_children(part)), None)
    if inner is None:
        return None
    if str(part.get("content-transfer-encoding", "")).strip().lower() != "base64":
        return inner
    try:
        return _parsed(binascii.a2b_base64(content_of(inner)), _DEFAULT_CHARSET)
    except ValueError:
        return inner
