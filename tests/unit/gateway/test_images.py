"""Images: in the request, few, of an honest size, still. Nothing is decoded to find out."""

from __future__ import annotations

import base64
import io
import struct
import time
import tracemalloc
import zlib

import pytest
from PIL import Image
from pydantic import JsonValue

from services.foundation.errors import InvalidRequest
from services.gateway.images import Images


def url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture(width: int = 32, height: int = 32, mode: str = "RGB", kind: str = "PNG", **options: object) -> bytes:
    written = io.BytesIO()
    Image.new(mode, (width, height)).save(written, kind, **options)
    return written.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + chunk + picture()[33:]


def gif(frames: int) -> bytes:
    """A picture's one frame, again and again."""
    whole = picture(8, 8, kind="GIF")
    start = 13 + 3 * 2 ** ((whole[10] & 7) + 1)  # header and colours
    return whole[:start] + whole[start:-1] * frames + b";"


def webp_claiming(width: int, height: int) -> bytes:
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + canvas + bytes(30)


def objection(shown: JsonValue) -> str:
    with pytest.raises(InvalidRequest) as failure:
        Images().check("messages.0.content.0.image_url", shown)
    assert failure.value.facts["field"] == "messages.0.content.0.image_url"
    return str(failure.value.facts["reason"])


@pytest.mark.parametrize(
    "remote",
    ["http://169.254.169.254/x.png", "https://a/b.png", "file:///etc/passwd", "ftp://a/b", "", None, {"url": "x"}, 3],
)
def test_only_what_is_in_the_request_itself(remote):
    assert "in the request itself" in objection(remote)


@pytest.mark.parametrize(
    "shown",
    ["data:image/png,xyz", "data:image/svg+xml;base64,AAAA", "data:;base64,AAAA", "data:text/html;base64,AAAA"],
)
def test_only_the_usual_kinds(shown):
    assert "one of the kinds" in objection(shown)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (png_claiming(65_000, 65_000), "too large"),
        (png_claiming(8_000, 8_000), "8000 x 8000 pixels"),
        (webp_claiming(16_383, 16_383), "16383 x 16383 pixels"),
        (gif(3), "moving"),
        (picture(1, 1), "narrow"),
        (picture(3, 640), "narrow"),
        (picture(4, 1000), "narrow"),
        (picture(mode="1"), "kind '1'"),
        (picture(mode="I;16"), "kind 'I;16'"),
        (picture(mode="CMYK", kind="JPEG"), "kind 'CMYK'"),
        (picture(mode="I;16", kind="TIFF"), "cannot be read"),
        (b"<svg onload=alert(1)>", "cannot be read"),
        (picture()[:20], "cannot be read"),
        (b"RIFF\0\0\0\0WEBP", "cannot be read"),
        (b"", "cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_odd_images_are_refused(content, reason):
    assert reason in objection(url(content))


def test_a_long_animation_is_refused_without_reading_its_frames():
    began = time.process_time()
    assert "moving" in objection(url(gif(10_000), "image/gif"))
    assert time.process_time() - began < 1.0


def test_a_claim_of_gigabytes_costs_no_memory():
    shown = [url(png_claiming(65_000, 65_000)), url(webp_claiming(16_383, 16_383), "image/webp")]
    tracemalloc.start()
    for one in shown:
        objection(one)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_base64_must_be_base64_and_not_endless():
    assert "base64" in objection("data:image/png;base64,!!!!")
    assert "longer" in objection("data:image/png;base64," + "A" * 14_000_004)


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("JPEG", {}), ("GIF", {}), ("WEBP", {"lossless": True}), ("WEBP", {})]
)
def test_pictures_pass(kind, options):
    Images().check("f", url(picture(640, 480, kind=kind, **options), f"image/{kind.lower()}"))
    Images().check("f", url(picture(kind=kind, **options), "image/PNG"))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_usual_pixels_pass(mode):
    Images().check("f", url(picture(mode=mode)))


def test_a_moving_webp_is_refused():
    written = io.BytesIO()
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    frames[0].save(written, "WEBP", save_all=True, append_images=frames[1:])
    assert "moving" in objection(url(written.getvalue(), "image/webp"))


def test_sixteen_images_and_a_hundred_million_pixels_are_enough():
    images, small, large = Images(), url(picture()), url(png_claiming(5_000, 6_000))
    for _ in range(16):
        images.check("f", small)
    with pytest.raises(InvalidRequest, match="16 images"):
        images.check("f", small)
    images = Images()
    for _ in range(3):
        images.check("f", large)
    with pytest.raises(InvalidRequest, match="together"):
        images.check("f", large)
