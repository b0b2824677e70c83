"""What every parser holds, over the shelves of the product: subclass `ParserContract` and give `parser`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.api.domain.knowledge import SourceFile, SplitterChoice
from services.api.domain.names import FileName
from services.api.domain.ports import Parser
from services.foundation.errors import EmptyFile, EncryptedFile, InvalidSetting, UnreadableFile
from tests.contract.splitter import TOKENIZER, tokens_read

CUT = SplitterChoice("sentences", {"chunk_chars": 20, "overlap_chars": 0})


def written(folder: Path, name: str, content: bytes) -> SourceFile:
    path = folder / name
    path.write_bytes(content)
    return SourceFile(FileName.parse(name), path)


class ParserContract:
    """Give `parser`, stopped when the test is over."""

    async def test_passages_come_in_order_with_their_places(self, parser: Parser, tmp_path: Path):
        text = "# 休假\n\n工作满一年的职工享受年休假。\n\n## 病假\n\n病假需要医院证明，按日计发工资。\n"
        parsed = await parser.parse(written(tmp_path, "a.md", text.encode()), CUT)
        assert [passage.place.heading for passage in parsed.passages] == [("休假",), ("休假", "病假")]
        assert "工作满一年" in parsed.passages[0].text
        assert (parsed.loader, parsed.splitter) == ("MarkdownLoader", "SentenceSplitter")

    async def test_the_embedders_window_holds(self, parser: Parser, tmp_path: Path):
        text = "# 休假\n\n" + "工作满一年的职工享受年休假。" * 40 + "\n\n" + "internationalization-0x3f9a " * 90
        options: dict[str, Any] = {
            "chunk_chars": 250,
            "overlap_chars": 50,
            "tokenizer": str(TOKENIZER),
            "window_tokens": 128,
        }
        parsed = await parser.parse(written(tmp_path, "a.md", text.encode()), SplitterChoice("sentences", options))
        assert 64 < max(map(tokens_read, parsed.passages)) <= 128

    async def test_a_tokenizer_that_is_not_there_is_named(self, parser: Parser, tmp_path: Path):
        options: dict[str, Any] = {"tokenizer": str(tmp_path / "absent.json"), "window_tokens": 16}
        source = written(tmp_path, "a.txt", "工作满一年的职工享受年休假。".encode())
        with pytest.raises(InvalidSetting, match=r"absent\.json"):
            await parser.parse(source, SplitterChoice("sentences", options))

    async def test_what_a_table_row_knows_arrives(self, parser: Parser, tmp_path: Path):
        parsed = await parser.parse(written(tmp_path, "a.csv", "城市,人口\n北京,2189\n上海,2487\n".encode()), CUT)
        assert {(passage.place.row, passage.place.last_row) for passage in parsed.passages} <= {(2, 2), (3, 3), (2, 3)}

    async def test_warnings_arrive(self, parser: Parser, tmp_path: Path):
        broken = "年假五天。".encode() * 40 + b"\xff\xfe\xff" + "病假十天。".encode() * 40
        parsed = await parser.parse(written(tmp_path, "a.txt", broken), CUT)
        assert parsed.warnings

    @pytest.mark.parametrize(
        ("name", "content", "failure"),
        [
            ("a.txt", b" \n\t ", EmptyFile),
            ("a.pdf", b"\x7fELF and more", UnreadableFile),
            ("a.docx", b"\xd0\xcf\x11\xe0" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"), EncryptedFile),
        ],
    )
    async def test_failures_are_the_loaders_own(
        self, parser: Parser, tmp_path: Path, name: str, content: bytes, failure: type[UnreadableFile]
    ):
        with pytest.raises(failure) as raised:
            await parser.parse(written(tmp_path, name, content), CUT)
        assert type(raised.value) is failure
        assert raised.value.facts["file"] == name
        assert str(tmp_path) not in str(raised.value)

    async def test_one_failure_does_not_touch_the_next(self, parser: Parser, tmp_path: Path):
        with pytest.raises(EmptyFile):
            await parser.parse(written(tmp_path, "a.txt", b" "), CUT)
        assert (await parser.parse(written(tmp_path, "b.txt", b"It is read."), CUT)).passages

    async def test_twice_gives_the_same(self, parser: Parser, tmp_path: Path):
        file = written(tmp_path, "a.txt", "甲。乙。丙。\n".encode() * 30)
        assert await parser.parse(file, CUT) == await parser.parse(file, CUT)
