"""T18: one name, many uploads at once, several keys: each is whole, and none is overwritten in silence."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx

from tests.integration.attacks.shelter import Shelter
from tests.integration.attacks.stage import KEY, OTHER_KEY, SECRET, stage

MANY = 50


def text(number: int) -> bytes:
    """Long enough that two writers would mix, and told apart by any line."""
    return (f"lighthouse number {number:03d}. " * 40 + "\n").encode() * 40


def whole(content: bytes) -> int:
    """Which upload this is, if it is one of them from end to end."""
    number = int(content[18:21])
    assert content == text(number), "two uploads were mixed"
    return number


async def test_of_fifty_uploads_at_once_one_is_kept_and_the_others_are_told(api: Shelter):
    answers = await asyncio.gather(*(api.upload("same.txt", text(number)) for number in range(MANY)))
    winners = [number for number, answer in enumerate(answers) if answer["data"]["failed_files"] == {}]
    assert len(winners) == 1
    losers = [answer["data"]["failed_files"]["same.txt"] for answer in answers if answer["data"]["failed_files"]]
    assert len(losers) == MANY - 1
    assert all("override" in sentence for sentence in losers), losers[0]
    content = (api.content / "same.txt").read_bytes()
    assert whole(content) == winners[0]
    assert [(file["name"], file["size_bytes"]) for file in await api.files()] == [("same.txt", len(content))]
    assert f"number {winners[0]:03d}" in await api.search("lighthouse number")
    assert [path.name for path in api.content.iterdir()] == ["same.txt"], "nothing half-written is left"


async def test_of_ten_replacements_at_once_the_last_is_whole_and_is_what_is_found(api: Shelter):
    answers = await asyncio.gather(*(api.upload("same.txt", text(number), override="true") for number in range(10)))
    assert all(answer["data"]["failed_files"] == {} for answer in answers)
    content = (api.content / "same.txt").read_bytes()
    kept = whole(content)
    assert [(file["name"], file["size_bytes"]) for file in await api.files()] == [("same.txt", len(content))]
    found = await api.search("lighthouse number")
    assert f"number {kept:03d}" in found
    assert not [other for other in range(10) if other != kept and f"number {other:03d}" in found], (
        "an old text is found"
    )


async def test_the_same_name_in_many_bases_is_many_files(api: Shelter):
    bases = [f"base {number}" for number in range(5)]
    for base in bases:
        await api.create(base)
    await asyncio.gather(*(api.upload("same.txt", text(number), base=base) for number, base in enumerate(bases)))
    for number, base in enumerate(bases):
        assert whole((api.data / base / "content" / "same.txt").read_bytes()) == number
        download = await api.get("/knowledge_base/download_doc", knowledge_base_name=base, file_name="same.txt")
        assert hashlib.sha256(download.content).digest() == hashlib.sha256(text(number)).digest()


async def test_names_that_look_alike_are_one_file_or_two_and_never_half(api: Shelter):
    """NFC and NFD are one name; cases are two, as on the disk below."""
    first = await api.upload("caf\u00e9.txt", text(1))
    second = await api.upload("cafe\u0301.txt", text(2))
    assert first["data"]["failed_files"] == {}
    assert second["data"]["failed_files"] != {}
    for number, name in ((3, "Report.txt"), (4, "report.txt")):
        assert (await api.upload(name, text(number)))["data"]["failed_files"] == {}
    kept = {path.name: whole(path.read_bytes()) for path in api.content.iterdir()}
    assert kept == {"caf\u00e9.txt": 1, "Report.txt": 3, "report.txt": 4}


async def test_of_two_names_of_one_base_made_at_once_one_is_made(api: Shelter):
    answers = await asyncio.gather(*(api.create(name) for name in ["Wing", "wing", "WING"] * 5))
    assert sorted(answer["code"] for answer in answers) == [200] + [409] * 14
    assert len(await api.bases()) == 2
    assert len({path for path in api.inside() if path.lower() == "wing"}) == 1


async def test_two_keys_that_upload_one_name_at_once_get_one_file(tmp_path: Path):
    """Two users, as far as there are any: two access keys over HTTP. Whose file it is, is for the accounts room."""
    async with stage(tmp_path) as services, httpx.AsyncClient(trust_env=False, timeout=30) as http:

        async def upload(key: str, number: int) -> dict[str, Any]:
            answer = await http.post(
                f"{services['api'].url}/knowledge_base/upload_docs",
                data={"knowledge_base_name": SECRET},
                files=[("files", ("same.txt", text(number)))],
                headers={"x-api-key": key},
            )
            failed: dict[str, Any] = answer.json()["data"]["failed_files"]
            return failed

        failed = await asyncio.gather(*(upload((KEY, OTHER_KEY)[number % 2], number) for number in range(10)))
    winners = [number for number, sentence in enumerate(failed) if sentence == {}]
    assert [whole((tmp_path / "data" / SECRET / "content" / "same.txt").read_bytes())] == winners
