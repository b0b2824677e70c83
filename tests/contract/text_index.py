"""What every TextIndex must do."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from services.api.domain.knowledge import Chunk, ChunkId, FileId, KnowledgeBaseId, Place
from services.api.domain.names import FileName
from services.api.domain.ports import TextIndex

BASE = KnowledgeBaseId("a" * 32)
OTHER = KnowledgeBaseId("b" * 32)

TEXTS = (
    "员工每年享有十五天带薪年假，需要提前两周申请。",
    "报销发票应当在三十天之内交到财务部门。",
    "The backup of all databases runs every night at 02:30 and keeps 14 copies.",
    "设备型号 AB-12/3 的保修期为 24 个月，符合 ISO-9001 标准。",
    "公司食堂周一至周五提供午餐。",
)


def make_chunk(number: int, text: str, base: KnowledgeBaseId = BASE) -> Chunk:
    id_ = ChunkId(f"{base[0]}{number:031x}")
    return Chunk(id_, base, FileId("f" * 32), FileName("手册.txt"), 1, number, text, Place())


def ids(matches) -> list[int]:
    return [int(match.id[1:], 16) for match in matches]


class TextIndexContract:
    """Inherit it and supply the fixture `index`, started."""

    @pytest.fixture
    async def index(self) -> TextIndex:
        raise NotImplementedError

    @pytest.fixture
    async def filled(self, index: TextIndex) -> TextIndex:
        await index.upsert([make_chunk(number, text) for number, text in enumerate(TEXTS)])
        return index

    @pytest.mark.parametrize(
        ("question", "best"),
        [
            ("年假", 0),
            ("请问年假有多少天？", 0),
            ("发票报销", 1),
            ("怎样报销发票", 1),
            ("database backups", 2),
            ("When does the backup run?", 2),
            ("ＡＢ-12/3", 3),
            ("iso-9001", 3),
            ("型号ab-12/3保修多久", 3),
            ("午餐", 4),
            ("報銷發票應當在幾天之內交到財務部門", 1),
            ("食堂", 4),
        ],
    )
    async def test_finds(self, filled, question, best):
        assert ids(await filled.search(BASE, question, limit=5))[:1] == [best]

    @pytest.mark.parametrize("question", ["", "   ", "？！", "zebra", "量子纠缠", "'\"", "%", "😀"])
    async def test_finds_nothing_where_there_is_nothing(self, filled, question):
        assert await filled.search(BASE, question, limit=5) == []

    @pytest.mark.parametrize(
        "question",
        [
            '"',
            "年假 AND",
            "NOT 年假",
            "NEAR(年假 发票)",
            "words:年假",
            "年假*",
            "(年假",
            "年假'; DROP TABLE x;--",
            "{a b}: ^年假",
        ],
    )
    async def test_operators_are_plain_text(self, filled, question):
        found = await filled.search(BASE, question, limit=5)
        assert question == '"' or 0 in ids(found)

    async def test_a_very_long_question_is_answered(self, filled):
        found = await filled.search(BASE, "年假" + "很长的问题 number 7 " * 2000, limit=5)
        assert all(0 <= match.similarity <= 1 for match in found)

    async def test_similarity_is_the_share_of_the_words(self, filled):
        questions = ("backup database", "backup zebra", "backup zebra giraffe lion")
        found = [await filled.search(BASE, question, limit=1) for question in questions]
        whole, half, quarter = (matches[0].similarity for matches in found)
        assert whole == pytest.approx(1)
        assert 0 < quarter < half < whole

    async def test_a_rare_word_weighs_more(self, index):
        await index.upsert([make_chunk(number, f"common {'rare' if number == 0 else 'other'}") for number in range(9)])
        found = {match.id: match.similarity for match in await index.search(BASE, "common rare", limit=9)}
        assert found[make_chunk(0, "").id] == pytest.approx(1)
        assert found[make_chunk(1, "").id] < 0.5

    async def test_rarity_gives_the_questions_tokens_and_the_rare_weigh_more(self, index):
        await index.upsert([make_chunk(number, f"common {'rare' if number == 0 else 'other'}") for number in range(9)])
        found = await index.rarity(BASE, "What is the common rare unheard?")
        assert set(found) >= {"common", "rare", "unheard"}
        assert "the" not in found
        assert 0 < found["common"] < found["rare"] <= found["unheard"]

    async def test_rarity_cuts_ideographs_into_pairs(self, filled):
        assert {"年假"} <= set(await filled.rarity(BASE, "年假")) <= {"年假"}

    async def test_rarity_follows_what_is_written_meanwhile(self, index):
        await index.upsert([make_chunk(number, f"apple {'pear' if number < 2 else 'plum'}") for number in range(9)])
        before = await index.rarity(BASE, "pear")
        await index.upsert([make_chunk(number, "pear") for number in range(20, 40)])
        after = await index.rarity(BASE, "pear")
        assert after["pear"] < before["pear"]
        await index.remove(BASE, [make_chunk(number, "").id for number in range(20, 40)])
        assert await index.rarity(BASE, "pear") == before
        await index.drop(BASE)
        assert await index.rarity(BASE, "pear") == {}

    async def test_an_empty_base_has_no_rarity(self, index):
        assert await index.rarity(BASE, "年假 leave") == {}

    async def test_only_those_named_are_found(self, index):
        await index.upsert([make_chunk(number, f"apple {number}") for number in range(20)])
        among = frozenset(make_chunk(number, "").id for number in (3, 5, 99))
        for _ in range(2):
            assert sorted(ids(await index.search(BASE, "apple", limit=7, among=among))) == [3, 5]
        assert await index.search(BASE, "apple", limit=7, among=frozenset()) == []
        assert len(await index.search(BASE, "apple", limit=7)) == 7

    async def test_the_limit_holds(self, index):
        await index.upsert([make_chunk(number, f"apple {number}") for number in range(20)])
        assert len(await index.search(BASE, "apple", limit=7)) == 7

    async def test_headings_and_file_names_are_found(self, index):
        chunk = dataclasses.replace(make_chunk(1, "正文"), place=Place(heading=("采购流程", "审批")))
        await index.upsert([make_chunk(0, "别的"), chunk])
        assert ids(await index.search(BASE, "采购审批", limit=3)) == [1]
        assert sorted(ids(await index.search(BASE, "手册", limit=3))) == [0, 1]

    async def test_one_base_does_not_see_another(self, filled):
        await filled.upsert([make_chunk(77, TEXTS[0], OTHER)])
        assert ids(await filled.search(OTHER, "年假", limit=5)) == [77]
        assert await filled.ids(OTHER) == {make_chunk(77, "", OTHER).id}
        await filled.remove(OTHER, [make_chunk(0, "").id])
        assert 0 in ids(await filled.search(BASE, "年假", limit=5))

    async def test_upsert_twice_changes_nothing(self, filled):
        before = await filled.search(BASE, "年假申请", limit=5)
        await filled.upsert([make_chunk(number, text) for number, text in enumerate(TEXTS)])
        assert await filled.search(BASE, "年假申请", limit=5) == before
        assert len(await filled.ids(BASE)) == len(TEXTS)

    async def test_upsert_replaces_the_text(self, filled):
        await filled.upsert([make_chunk(0, "停车场收费标准")])
        assert ids(await filled.search(BASE, "停车场", limit=5)) == [0]
        assert await filled.search(BASE, "年假", limit=5) == []

    async def test_one_call_may_hold_many_bases_and_an_id_twice(self, index):
        await index.upsert(
            [make_chunk(0, "old"), make_chunk(0, "苹果", OTHER), make_chunk(1, "x"), make_chunk(0, "new")]
        )
        assert ids(await index.search(BASE, "new", limit=5)) == [0]
        assert await index.search(BASE, "old", limit=5) == []
        assert ids(await index.search(OTHER, "苹果", limit=5)) == [0]
        await index.upsert([])

    async def test_what_is_removed_is_not_found(self, filled):
        await filled.remove(BASE, [make_chunk(0, "").id, ChunkId("9" * 32)])
        assert await filled.search(BASE, "年假", limit=5) == []
        assert len(await filled.ids(BASE)) == len(TEXTS) - 1
        await filled.remove(BASE, [make_chunk(0, "").id])
        await filled.remove(OTHER, [make_chunk(0, "").id])
        await filled.remove(BASE, [])

    async def test_thousands_are_removed_at_once(self, index):
        chunks = [make_chunk(number, f"apple {number}") for number in range(2500)]
        await index.upsert(chunks)
        await index.remove(BASE, [chunk.id for chunk in chunks[1:]])
        assert await index.ids(BASE) == {chunks[0].id}

    async def test_a_dropped_base_is_empty_and_may_be_filled_again(self, filled):
        await filled.upsert([make_chunk(7, "苹果", OTHER)])
        await filled.drop(BASE)
        assert await filled.ids(BASE) == set()
        assert await filled.search(BASE, "年假", limit=5) == []
        assert ids(await filled.search(OTHER, "苹果", limit=5)) == [7]
        await filled.upsert([make_chunk(0, TEXTS[0])])
        assert ids(await filled.search(BASE, "年假", limit=5)) == [0]
        await filled.drop(KnowledgeBaseId("c" * 32))

    async def test_it_names_the_bases_it_keeps_anything_of(self, filled):
        await filled.upsert([make_chunk(0, "年假", OTHER)])
        assert await filled.bases() == {BASE, OTHER}
        await filled.remove(OTHER, [make_chunk(0, "").id])
        assert await filled.bases() == {BASE, OTHER}
        await filled.drop(BASE)
        assert await filled.bases() == {OTHER}
        await filled.drop(OTHER)
        assert await filled.bases() == set()

    async def test_an_unknown_base_is_empty(self, index):
        assert await index.search(BASE, "年假", limit=5) == []
        assert await index.ids(BASE) == set()

    async def test_readers_and_writers_at_once(self, index):
        async def write(part: int) -> None:
            for number in range(part * 10, part * 10 + 10):
                await index.upsert([make_chunk(number, f"苹果 {number}")])

        async def read() -> None:
            for _ in range(10):
                await index.search(BASE, "苹果", limit=5)

        await asyncio.gather(*(write(part) for part in range(4)), read(), read())
        assert len(await index.ids(BASE)) == 40
