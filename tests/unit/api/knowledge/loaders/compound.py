"""Writes OLE2 compound files ([MS-CFB]) and Outlook messages in them, as small as the tests of .msg need them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SECTOR, MINI, CUTOFF = 512, 64, 4096
END, FREE, FAT_SECTOR, NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD, 0xFFFFFFFF
STRING8, UNICODE, BINARY, OBJECT = 0x1E, 0x1F, 0x102, 0xD
TOP, EMBEDDED, CHILD = 32, 24, 8

Properties = Mapping[tuple[int, int], bytes]
"""(tag, type) → the bytes of a stream."""


@dataclass
class Node:
    name: str
    content: bytes | None = None
    children: list[Node] = field(default_factory=list)
    start: int = END
    right: int = NONE
    child: int = NONE


def compound(streams: Mapping[str, bytes]) -> bytes:
    """A compound file of streams by path ("storage/stream")."""
    root = Node("Root Entry")
    for path, content in streams.items():
        *folders, name = path.split("/")
        at = root
        for folder in folders:
            found = next((node for node in at.children if node.name == folder), None)
            if found is None:
                found = Node(folder)
                at.children.append(found)
            at = found
        at.children.append(Node(name, content))
    return written(root)


def written(root: Node) -> bytes:
    nodes = [root]
    for node in nodes:  # grows while it is walked
        node.children.sort(key=lambda each: (len(each.name), each.name.upper()))
        places = range(len(nodes), len(nodes) + len(node.children))
        for child, place in zip(node.children, places, strict=True):
            child.right = place + 1 if place + 1 in places else NONE
        node.child = places[0] if places else NONE
        nodes.extend(node.children)
    fat: list[int] = []
    sectors: list[bytes] = []
    mini_fat: list[int] = []
    mini = b""
    for node in nodes:
        if node.content and len(node.content) >= CUTOFF:
            node.start = placed(node.content, fat, sectors)
        elif node.content:
            node.start = len(mini_fat)
            count = -(-len(node.content) // MINI)
            mini_fat += [*range(node.start + 1, node.start + count), END]
            mini += node.content.ljust(count * MINI, b"\0")
    root.start = placed(mini, fat, sectors)
    directory = placed(b"".join(entry(node, len(mini)) for node in nodes), fat, sectors)
    mini_start = placed(struct.pack(f"<{len(mini_fat)}I", *mini_fat), fat, sectors)
    fats = next(count for count in range(1, 100) if (len(fat) + count) <= count * SECTOR // 4)
    first = len(fat)
    fat += [FAT_SECTOR] * fats
    fat += [FREE] * (fats * SECTOR // 4 - len(fat))
    table = struct.pack(f"<{len(fat)}I", *fat)
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<5H6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<9I", 0, fats, directory, 0, CUTOFF, mini_start, -(-len(mini_fat) * 4 // SECTOR), END, 0)
    header += struct.pack("<109I", *range(first, first + fats), *[FREE] * (109 - fats))
    return header + b"".join(sectors) + table


def placed(content: bytes, fat: list[int], sectors: list[bytes]) -> int:
    """Append content in a chain of sectors; the number of the first."""
    if not content:
        return END
    start, count = len(fat), -(-len(content) // SECTOR)
    fat += [*range(start + 1, start + count), END]
    sectors.append(content.ljust(count * SECTOR, b"\0"))
    return start


def entry(node: Node, mini_bytes: int) -> bytes:
    name = node.name.encode("utf-16-le") + b"\0\0"
    kind = 5 if node.name == "Root Entry" else 1 if node.content is None else 2
    size = mini_bytes if kind == 5 else len(node.content or b"")
    return (
        name.ljust(64, b"\0")
        + struct.pack("<HBB3I", len(name), kind, 1, NONE, node.right, node.child)
        + bytes(36)
        + struct.pack("<IQ", node.start, size)
    )


def text(tag: int, value: str) -> dict[tuple[int, int], bytes]:
    return {(tag, UNICODE): value.encode("utf-16-le")}


def narrow(tag: int, value: str, charset: str) -> dict[tuple[int, int], bytes]:
    return {(tag, STRING8): value.encode(charset)}


def message(
    properties: Properties,
    *,
    numbers: Mapping[int, int] | None = None,
    recipients: Sequence[Properties] = (),
    attachments: Sequence[Properties | dict[str, bytes]] = (),
    header_bytes: int = TOP,
) -> dict[str, bytes]:
    """The streams of a message. An attachment given as streams is an embedded message."""
    streams = storage(properties, numbers or {}, header_bytes)
    for number, recipient in enumerate(recipients):
        streams |= within(f"__recip_version1.0_#{number:08X}", storage(recipient, {0x0C15: 1}, CHILD))
    for number, attachment in enumerate(attachments):
        folder = f"__attach_version1.0_#{number:08X}"
        if all(isinstance(key, str) for key in attachment):
            streams |= within(folder, storage({}, {0x3705: 5}, CHILD))
            inner = {str(path): content for path, content in attachment.items()}
            streams |= within(f"{folder}/__substg1.0_3701000D", inner)
        else:
            own = {key: content for key, content in attachment.items() if isinstance(key, tuple)}
            streams |= within(folder, storage(own, {0x3705: 1}, CHILD))
    return streams


def storage(properties: Properties, numbers: Mapping[int, int], header_bytes: int) -> dict[str, bytes]:
    entries = [struct.pack("<HHIQ", 3, tag, 6, value) for tag, value in numbers.items()]
    streams = {"__properties_version1.0": bytes(header_bytes) + b"".join(entries)}
    return streams | {f"__substg1.0_{tag:04X}{kind:04X}": content for (tag, kind), content in properties.items()}


def within(folder: str, streams: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{path}": content for path, content in streams.items()}


def msg(properties: Properties, **rest) -> bytes:
    return compound(message(properties, **rest))
