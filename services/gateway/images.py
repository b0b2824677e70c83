"""Images in a request: inside it, few, and of a size told by their headers before anybody decodes them.

Used by the limits. One that claims to be huge costs an engine gigabytes; an odd one has stopped engines for good.
"""

from __future__ import annotations

import base64
import binascii
import io
import struct
import warnings
from dataclasses import dataclass

from PIL import Image
from pydantic import JsonValue

from services.foundation.errors import InvalidRequest

_IMAGES = 16
_BASE64_CHARS = 14_000_000
_PIXELS = 33_200_000  # 8K video
_ALL_PIXELS = 100_000_000
_SHORTEST_SIDE = 4  # 1 and 3 pixels are taken for colour channels
_ASPECT = 200
_FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
_UNREADABLE = (OSError, SyntaxError, ValueError, OverflowError, EOFError, IndexError, struct.error)
"""What Pillow raises for broken files."""
_MODES = frozenset({"L", "LA", "P", "RGB", "RGBA"})


@dataclass(frozen=True, slots=True)
class _Header:
    """What an image says of itself."""

    width: int
    height: int
    mode: str
    is_moving: bool


class Images:
    """The images of one request, counted."""

    def __init__(self) -> None:
        self._count = 0
        self._pixels = 0

    def check(self, field: str, url: JsonValue) -> None:
        """Let one image pass or raise.

        Raises:
            InvalidRequest: it is not in the request itself, too large, moving, or none of the usual kinds.
        """
        self._count += 1
        if self._count > _IMAGES:
            raise InvalidRequest(field=field, reason=f"there are more than {_IMAGES} images")
        encoded = _encoded(field, url)
        try:
            content = base64.b64decode(encoded, validate=True)
        except binascii.Error as failure:
            raise InvalidRequest(field=field, reason="it is not base64") from failure
        seen = _looked_at(content)
        reason = _objection(seen)
        if seen is None or reason:
            raise InvalidRequest(field=field, reason=reason)
        self._pixels += seen.width * seen.height
        if self._pixels > _ALL_PIXELS:
            raise InvalidRequest(field=field, reason=f"the images have more than {_ALL_PIXELS} pixels together")


def _encoded(field: str, url: JsonValue) -> str:
    if not isinstance(url, str) or not url[:5].lower() == "data:":
        raise InvalidRequest(field=field, reason="an image must be in the request itself, as a data: URL of base64")
    head, _, encoded = url.partition(",")
    if not head.endswith(";base64") or head[5:-7].lower() not in _FORMATS.values():
        kinds = ", ".join(_FORMATS.values())
        raise InvalidRequest(field=field, reason=f"it must be 'data:<kind>;base64,…' with one of the kinds {kinds}")
    if len(encoded) > _BASE64_CHARS:
        raise InvalidRequest(field=field, reason=f"it is longer than {_BASE64_CHARS} characters")
    return encoded


def _objection(header: _Header | None) -> str:
    """Why an engine should not see this image; empty when it may."""
    if header is None:
        return "it cannot be read, or claims to be too large"
    longer, shorter = max(header.width, header.height), min(header.width, header.height)
    if longer * shorter > _PIXELS:
        return f"it says it has {header.width} x {header.height} pixels; {_PIXELS} are allowed"
    if shorter < _SHORTEST_SIDE or longer > _ASPECT * shorter:
        return f"{header.width} x {header.height} pixels are too narrow"
    if header.is_moving:
        return "it is moving; send one picture"
    if header.mode not in _MODES:
        return f"its pixels are of the kind {header.mode!r}; send RGB or grey"
    return ""


def _looked_at(content: bytes) -> _Header | None:
    """The header of an image, nothing decoded; None when it cannot be read."""
    try:
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return _webp(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns of what would be too much to decode
            with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "GIF")) as image:
                width, height = image.size
                moving = width * height <= _PIXELS and bool(getattr(image, "is_animated", False))
                return _Header(width, height, image.mode, moving)
    except (*_UNREADABLE, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None


def _webp(content: bytes) -> _Header:
    """Pillow would make room for the whole picture before it tells its size, so the three kinds are read here.

    Source: RFC 9649 (WebP), sections 2.4 to 2.7.
    """
    kind = content[12:16]
    if kind == b"VP8X":
        moving = bool(content[20] & 0x02)
        width, height = (1 + int.from_bytes(content[at : at + 3], "little") for at in (24, 27))
        return _Header(width, height, "RGBA", moving)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return _Header(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), "RGBA", is_moving=False)
    width, height = struct.unpack_from("<HH", content, 26)
    return _Header(width & 0x3FFF, height & 0x3FFF, "RGB", is_moving=False)
