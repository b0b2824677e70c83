"""Names, parsed at the door: a value of these types is safe to store, to show and to join to a folder."""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from dataclasses import dataclass, field
from typing import ClassVar

from services.foundation.errors import InvalidName, TemporaryFilesNotFound

_SEPARATORS = re.compile(r"[/\\\u2044\u2215\uff0f\uff3c]")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
_OURS = re.compile(r"(?i)(info\.db|vectors\.milvus).*")  # what else lies beside the bases' folders
_BIDI = {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}


def _checked(what: str, raw: object, limit_bytes: int) -> str:
    """Normalise to NFC and refuse whatever could escape a folder or deceive a reader."""
    if not isinstance(raw, str):
        raise InvalidName(what=what, name=str(type(raw).__name__), reason="it is not text")
    name = unicodedata.normalize("NFC", raw)
    reason = _fault(name, limit_bytes)
    if reason:
        raise InvalidName(what=what, name=_shown(raw), reason=reason)
    return name


def _fault(name: str, limit_bytes: int) -> str | None:
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "it holds characters that are no text"
    faults = (
        (not name.strip(), "it is empty"),
        (size > limit_bytes, f"it has {size} bytes, more than the limit of {limit_bytes}"),
        (_SEPARATORS.search(name), "it holds a path separator"),
        (any(_is_unsafe(char) for char in name), "it holds a control or direction character"),
        (name.strip(". ") == "" or name.startswith("."), "it begins with a dot or is made of dots"),
        (name != name.rstrip(". ") or name != name.lstrip(), "it begins or ends with a space, or ends with a dot"),
        (_RESERVED.fullmatch(name), "it is reserved by the operating system"),
    )
    return next((reason for bad, reason in faults if bad), None)


def _is_unsafe(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cs", "Cn", "Zl", "Zp"} or unicodedata.bidirectional(char) in _BIDI


def _shown(raw: str) -> str:
    text = "".join("?" if _is_unsafe(char) else char for char in raw)
    return text if len(text) <= 60 else f"{text[:60]}…"


@dataclass(frozen=True, slots=True, order=True)
class KnowledgeBaseName:
    """Name of a knowledge base: letters, digits, space, `-`, `_`, `.`; at most 100 bytes; unique ignoring case."""

    value: str
    limit_bytes: ClassVar[int] = 100
    _allowed: ClassVar[re.Pattern[str]] = re.compile(r"[\w][\w .\-]*")

    @classmethod
    def parse(cls, raw: object) -> KnowledgeBaseName:
        """Parse a name from outside.

        Raises:
            InvalidName: the name is empty, too long, holds anything but letters, digits, space, `-`, `_`, `.`, or is
                one that the data folder needs itself.
        """
        what = "The knowledge base name"
        name = _checked(what, raw, cls.limit_bytes)
        if not cls._allowed.fullmatch(name):
            raise InvalidName(
                what=what, name=_shown(name), reason="only letters, digits, spaces, '-', '_' and '.' are allowed"
            )
        if _OURS.fullmatch(name):
            raise InvalidName(what=what, name=_shown(name), reason="the database and the indexes lie under such a name")
        return cls(name)

    @property
    def key(self) -> str:
        """What two names that mean the same base share."""
        return unicodedata.normalize("NFKC", self.value).casefold()

    @property
    def is_temporary(self) -> bool:
        """Whether it is made of a TemporaryId: no name that is parsed begins with a dot."""
        return self.value.startswith(".")

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class TemporaryId:
    """What opens a temporary base: 192 random bits that only whoever uploaded its files was told.

    The base's name is a dot and a hash of it: no person can give a base such a name, nor ask for one by it, and whoever
    reads the names cannot tell the ids.
    """

    value: str = field(repr=False)
    _shape: ClassVar[re.Pattern[str]] = re.compile(r"[A-Za-z0-9_-]{32}")

    @classmethod
    def draw(cls) -> TemporaryId:
        """A new one."""
        return cls(secrets.token_urlsafe(24))

    @classmethod
    def parse(cls, raw: object) -> TemporaryId:
        """Parse an id from outside. Raises TemporaryFilesNotFound: nothing can be kept under what is no id."""
        if not isinstance(raw, str) or not cls._shape.fullmatch(raw):
            raise TemporaryFilesNotFound(id=_shown(str(raw)))
        return cls(raw)

    @property
    def base_name(self) -> KnowledgeBaseName:
        """The name of its base."""
        return KnowledgeBaseName(f".{hashlib.blake2b(self.value.encode('ascii'), digest_size=16).hexdigest()}")


@dataclass(frozen=True, slots=True, order=True)
class FileName:
    """Name of a file in a base: one path component, at most 240 bytes of UTF-8."""

    value: str
    limit_bytes: ClassVar[int] = 240

    @classmethod
    def parse(cls, raw: object) -> FileName:
        """Parse a name from outside.

        Raises:
            InvalidName: the name is empty, too long, holds a separator, a control or direction character, begins with a
                dot, or is reserved.
        """
        return cls(_checked("The file name", raw, cls.limit_bytes))

    @property
    def extension(self) -> str:
        """The last extension in lower case with its dot, or an empty string."""
        stem, dot, ending = self.value.rpartition(".")
        return f".{ending.lower()}" if dot and stem else ""

    @property
    def stem(self) -> str:
        """The name without its last extension."""
        return self.value[: len(self.value) - len(self.extension)]

    def __str__(self) -> str:
        return self.value
