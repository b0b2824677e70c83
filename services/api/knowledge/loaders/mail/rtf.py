"""Compressed RTF, as Outlook keeps the body of a message ([MS-OXRTFCP])."""

from __future__ import annotations

import struct

_HEADER = struct.Struct("<IIII")
_COMPRESSED, _PLAIN = 0x75465A4C, 0x414C454D
_WINDOW = 4096
_INITIAL = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor "
    b"MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par "
    b"\\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)


def decompress(content: bytes) -> bytes:
    """The RTF inside; of damaged content as much as is there."""
    if len(content) < _HEADER.size:
        return b""
    _, raw_bytes, kind, _ = _HEADER.unpack_from(content)
    if kind == _PLAIN:
        return content[_HEADER.size : _HEADER.size + raw_bytes]
    return _expanded(content, _HEADER.size) if kind == _COMPRESSED else b""


def _expanded(content: bytes, place: int) -> bytes:
    """Runs of eight tokens after a byte that says which of them are references into what was written before."""
    out = bytearray(_INITIAL)
    while place < len(content):
        control = content[place]
        place += 1
        for bit in range(8):
            is_reference = control >> bit & 1
            token = content[place : place + 1 + is_reference]
            if len(token) <= is_reference:
                return bytes(out[len(_INITIAL) :])
            place += len(token)
            if not is_reference:
                out += token
            elif not _copied(out, int.from_bytes(token, "big")):
                return bytes(out[len(_INITIAL) :])
    return bytes(out[len(_INITIAL) :])


def _copied(out: bytearray, reference: int) -> bool:
    """Append what a reference stands for. One to the place where the next byte would go marks the end."""
    distance = (len(out) - (reference >> 4)) % _WINDOW
    if distance == 0:
        return False
    for _ in range((reference & 0xF) + 2):
        out.append(out[-distance] if distance <= len(out) else 0x20)
    return True
