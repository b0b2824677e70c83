"""The picture loader against the loader contract, once per extension. Equal pixels are read once for all tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from services.api.domain.knowledge import SourceFile
from services.api.knowledge.loaders import LOADERS
from tests.contract.loader import WORDS, LoaderContract
from tests.unit.api.knowledge.loaders.drawing import CHINESE_FONT, drawn


class _Picture(LoaderContract):
    words = WORDS if CHINESE_FONT.exists() else (WORDS[0], WORDS[2])

    @pytest.fixture
    def loader(self):
        return LOADERS.build(self.extension)

    def write(self, path: Path) -> None:
        drawn(self.words).save(path)

    def write_empty(self, path: Path) -> None:
        Image.new("RGB", (80, 60), "white").save(path)

    def _file(self, folder: Path) -> SourceFile:
        return replace(super()._file(folder), cache=folder.parent / "readings")


class TestPng(_Picture):
    extension = ".png"


class TestJpg(_Picture):
    extension = ".jpg"


class TestJpeg(_Picture):
    extension = ".jpeg"


class TestBmp(_Picture):
    extension = ".bmp"


class TestWebp(_Picture):
    extension = ".webp"

    def write(self, path: Path) -> None:
        drawn(self.words).save(path, lossless=True)


class TestTif(_Picture):
    extension = ".tif"


class TestTiff(_Picture):
    extension = ".tiff"


class TestGif(_Picture):
    extension = ".gif"
