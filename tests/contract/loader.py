"""What every loader holds: subclass `LoaderContract`, say how to write a file, inherit the tests."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from services.api.domain.knowledge import Document, SourceFile
from services.api.domain.names import FileName
from services.api.domain.ports import Loader
from services.foundation.errors import EmptyFile, UnreadableFile

WORDS = ("Alpha opens the file.", "加权平均净资产收益率", "Omega closes it.")
KEPT = "，；：！？（）…"


class LoaderContract:
    """Give `loader`, `extension` and `write`; `write_empty` where a file without text is not zero bytes."""

    extension: str
    words: tuple[str, ...] = WORDS

    @pytest.fixture
    def loader(self) -> Loader:
        raise NotImplementedError

    def write(self, path: Path) -> None:
        """Write a file that holds `words` in this order."""
        raise NotImplementedError

    def write_empty(self, path: Path) -> None:
        """Write a valid file without text."""
        path.write_bytes(b" \n\n\t ")

    def _file(self, folder: Path) -> SourceFile:
        name = f"样本 sample{self.extension}"
        return SourceFile(FileName.parse(name), folder / name)

    def _loaded(self, loader: Loader, folder: Path) -> Document:
        file = self._file(folder)
        self.write(file.path)
        return loader.load(file)

    def test_claims_its_extension(self, loader: Loader):
        assert self.extension in loader.extensions

    def test_reads_in_order(self, loader: Loader, tmp_path: Path):
        text = "\n".join(section.text for section in self._loaded(loader, tmp_path).sections)
        places = [text.find(word) for word in self.words]
        assert -1 not in places
        assert places == sorted(places)

    def test_text_is_clean(self, loader: Loader, tmp_path: Path):
        for section in self._loaded(loader, tmp_path).sections:
            assert section.text.strip()
            assert unicodedata.is_normalized("NFKC", re.sub(f"[{KEPT}]", "", section.text))
            assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs"} for char in section.text if char != "\n")

    def test_twice_gives_the_same(self, loader: Loader, tmp_path: Path):
        assert self._loaded(loader, tmp_path) == self._loaded(loader, tmp_path)

    def test_zero_bytes(self, loader: Loader, tmp_path: Path):
        file = self._file(tmp_path)
        file.path.write_bytes(b"")
        with pytest.raises(EmptyFile) as refused:
            loader.load(file)
        assert refused.value.facts["file"] == file.name.value

    def test_no_text(self, loader: Loader, tmp_path: Path):
        file = self._file(tmp_path)
        self.write_empty(file.path)
        with pytest.raises(EmptyFile):
            loader.load(file)

    def test_a_picture_is_refused_by_name(self, loader: Loader, tmp_path: Path):
        file = self._file(tmp_path)
        file.path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
        with pytest.raises(UnreadableFile, match="PNG") as refused:
            loader.load(file)
        assert str(tmp_path) not in str(refused.value)

    def test_an_absent_file_leaks_no_path(self, loader: Loader, tmp_path: Path):
        with pytest.raises(UnreadableFile) as refused:
            loader.load(self._file(tmp_path))
        assert str(tmp_path) not in str(refused.value)

    def test_half_a_file_gives_text_or_a_clear_failure(self, loader: Loader, tmp_path: Path):
        file = self._file(tmp_path)
        self.write(file.path)
        content = file.path.read_bytes()
        file.path.write_bytes(content[: len(content) // 2])
        try:
            assert loader.load(file).sections
        except UnreadableFile as refused:
            assert str(tmp_path) not in str(refused)  # noqa: PT017 - either outcome is right
