"""T14, T15 and T16: hostile names of files, bases and things to fetch, on every route that takes one."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.foundation.paths import join_inside
from tests.integration.attacks.shelter import BASE, Shelter, envelope

CANARY = "chatchat-attack-7f3a"
REFUSED: list[str | bytes] = [
    f"../{CANARY}.txt",
    f"../../../{CANARY}.txt",
    f"..\\{CANARY}.txt",
    f"..\\..\\..\\{CANARY}.txt",
    f"/etc/cron.d/{CANARY}.txt",
    f"/tmp/{CANARY}.txt",  # noqa: S108 - must not appear there
    f"....//{CANARY}.txt",
    f"..././{CANARY}.txt",
    f"．．／{CANARY}.txt",
    f"..\u2044{CANARY}.txt",
    f"..\u2215{CANARY}.txt",
    f"..＼{CANARY}.txt",
    f"a\0{CANARY}.txt",
    f"a/{CANARY}.txt",
    f"~/.ssh/{CANARY}.txt",
    f"file:///tmp/{CANARY}.txt",
    f"a\u202e{CANARY}.txt",
    f"a\u2066{CANARY}.txt",
    f"a\x1b{CANARY}.txt",
    f"{CANARY}.txt.",
    f"{CANARY}.txt ",
    f" {CANARY}.txt",
    f".{CANARY}.txt",
    "CON",
    "con.txt",
    "NUL.txt",
    "COM1.txt",
    ".",
    "..",
    "...",
    " ",
    "",
    f"{'a' * 300}.txt",
    f"{'文' * 100}.txt",
    "\ud800.txt",
]
KEPT_AS_TEXT: list[str | bytes] = [
    f"%2e%2e%2f{CANARY}.txt",
    f"%252e%252e%252f{CANARY}.txt",
    f"$(touch {CANARY}).txt",
    f"`touch {CANARY}`.txt",
    f"-rf {CANARY}.txt",
    f"'; DROP TABLE knowledge_file;-- {CANARY}.txt",
    f"{{{{7*7}}}} {CANARY}.txt",
    f"<img src=x onerror=alert(1)> {CANARY}.txt",
    f"a'b\"c {CANARY}.txt",
    "info.db.txt",
    "content.txt",
]
EITHER: list[str | bytes] = [
    b"\xff\xfe" + CANARY.encode() + b".txt",
    f"C:\\{CANARY}.txt",
    f"\\\\server\\share\\{CANARY}.txt",
    f"C:{CANARY}.txt",
    f"a%0d%0aX: y {CANARY}.txt",
]
BASES = [
    "../x",
    "..\\x",
    "..",
    ".",
    "",
    " ",
    "/etc",
    "/tmp/chatchat-attack-7f3a",  # noqa: S108 - must not appear there
    "a/b",
    "a\\b",
    "C:\\x",
    "....//x",
    "%2e%2e%2fx",
    "．．／x",
    "..\u2215x",
    "a\0b",
    "a\nb",
    "CON",
    "nul.txt",
    "x.",
    "x ",
    " x",
    ".hidden",
    ".trash-0",
    "a\u202eb",
    "x" * 300,
    "文" * 100,
    "~",
    "~root",
    "kb'; DROP TABLE knowledge_base;--",
    'a" or ""=="',
    "a' OR '1'='1",
    "{{7*7}}",
    "$(id)",
    "<script>",
    "info.db",
    "info.db-wal",
    "info.db-journal",
    "INFO.DB",
    "vectors.milvus",
    "Vectors.Milvus",
]


@pytest.fixture(autouse=True)
def nothing_where_the_names_point() -> Iterator[None]:
    """Places outside of any test folder that a careless join would reach."""
    places = [Path("/etc/cron.d"), Path("/tmp"), Path.home(), Path.home() / ".ssh", Path.cwd(), Path("/")]  # noqa: S108
    yield
    for place in places:
        if place.is_dir():
            assert not [path for path in place.iterdir() if CANARY in path.name], place


@pytest.mark.parametrize("override", ["false", "true"])
async def test_no_name_of_an_upload_leaves_its_folder(api: Shelter, override: str):
    """T14. The one upload route there is; temp files, `/v1/files`, avatars and imports have none yet."""
    for number, name in enumerate([*REFUSED, *KEPT_AS_TEXT, *EITHER]):
        content = f"lighthouse number {number}".encode()
        answer = await api.upload(name, content, override=override)
        failed = answer["code"] != 200 or bool(answer["data"]["failed_files"])
        assert failed or name not in REFUSED, (name, answer)
        assert not failed or name not in KEPT_AS_TEXT, (name, answer)
        assert str(api.outside) not in json.dumps(answer), "a refusal shows where the files lie"
    stored = {path.name for path in api.content.iterdir()}
    assert stored == {file["name"] for file in await api.files()}, "what lies there is what is listed"
    assert {unicodedata.normalize("NFC", name) for name in KEPT_AS_TEXT if isinstance(name, str)} <= stored
    assert api.inside() == {BASE, f"{BASE}/content", *(f"{BASE}/content/{name}" for name in stored)}
    for name in stored:
        download = await api.get("/knowledge_base/download_doc", knowledge_base_name=BASE, file_name=name)
        assert download.text.startswith("lighthouse number")
        disposition = download.headers["content-disposition"]
        assert disposition.startswith("attachment; filename")
        assert not set(disposition) & {"\r", "\n", "<"}


@pytest.mark.corpora
async def test_the_collected_names_stay_in_their_folder(api: Shelter, corpora: Path):
    lines = (corpora / "hostile" / "filenames.jsonl").read_text(encoding="utf-8").splitlines()
    names = [json.loads(line).get("name") for line in lines]
    for name in filter(None, names):
        await api.upload(name, b"lighthouse")
    assert {path.name for path in api.content.iterdir()} == {file["name"] for file in await api.files()}
    assert api.inside() == {BASE, f"{BASE}/content", *(f"{BASE}/content/{file['name']}" for file in await api.files())}


async def test_no_name_of_a_file_reaches_another(api: Shelter):
    """T14 and T16 on the routes that name a file which is there, or is not."""
    assert (await api.upload("good.txt", b"lighthouse"))["data"]["failed_files"] == {}
    up = os.path.relpath(api.outside / "kept.txt", api.content)
    names = [*REFUSED, *KEPT_AS_TEXT, up, str(api.outside / "kept.txt"), "../../info.db", "../content/good.txt"]
    for name in (name for name in names if isinstance(name, str) and "\ud800" not in name):
        for query in ({"file_name": name}, {"file_name": name, "preview": "true"}):
            answer = await api.get("/knowledge_base/download_doc", knowledge_base_name=BASE, **query)
            assert "must not be read" not in answer.text
            assert envelope(answer)["code"] in {400, 404}, (name, answer.text)
            assert str(api.outside) in name or str(api.outside) not in answer.text
        for path, more in (("update_docs", {}), ("delete_docs", {"delete_content": True})):
            body = {"knowledge_base_name": BASE, "file_names": [name], **more}
            done = await api.post(f"/knowledge_base/{path}", body)
            assert done["code"] != 200 or list(done["data"]["failed_files"]) == [name], (path, name, done)
    assert [file["name"] for file in await api.files()] == ["good.txt"]
    assert api.inside() == {BASE, f"{BASE}/content", f"{BASE}/content/good.txt"}


async def test_no_name_of_a_base_makes_or_reaches_anything(api: Shelter):
    """T15: create, upload, delete, list, download, search, chat; nothing is made, also not by what ends in an error."""
    before = api.inside()
    for name in BASES:
        for answer in await everything_with(api, name):
            assert answer["code"] in {400, 404, 422}, (name, answer)
            assert str(api.outside) not in json.dumps(answer)
            assert "must not be read" not in json.dumps(answer)
        assert await api.bases() == [BASE], name
        assert api.inside() == before, name


async def everything_with(api: Shelter, name: str) -> list[dict[str, Any]]:
    """The answers of every route that takes the name of a base."""
    asked = {"query": "lighthouse", "knowledge_base_name": name}
    answers = [await api.create(name)]
    for path, body in (
        ("/knowledge_base/update_docs", {"knowledge_base_name": name, "file_names": ["kept.txt"]}),
        ("/knowledge_base/delete_docs", {"knowledge_base_name": name, "file_names": ["a"], "delete_content": True}),
        ("/knowledge_base/search_docs", asked),
        ("/chat/knowledge_base_chat", asked),
        ("/knowledge_base/delete_knowledge_base", name),
    ):
        answers.append(await api.post(path, body))
    if not set(name) & set('"\n\0'):  # else it ends the field of the form
        answers.append(await api.upload("a.txt", b"lighthouse", base=name))
    paths = ("/knowledge_base/list_files", "/knowledge_base/files", "/knowledge_base/download_doc")
    found = [await api.get(path, knowledge_base_name=name, file_name="kept.txt") for path in paths]
    return [*answers, *map(envelope, found)]


async def test_no_name_of_a_base_in_an_address_reaches_anything(api: Shelter):
    """The route of a base as an OpenAI endpoint, with the name as it stands in a path."""
    for name in ("..", "%2e%2e", "..%2f..%2fetc", "a%2fb", "%00", "..%5cx", "%ff", "info.db", "x%0d%0ay"):
        body = {"model": "talk", "messages": [{"role": "user", "content": "lighthouse"}]}
        answer = await api.http.post(f"/knowledge_base/local_kb/{name}/chat/completions", json=body)
        assert answer.status_code in {400, 404}, (name, answer.text)
        assert "must not be read" not in answer.text
    assert await api.bases() == [BASE]


async def test_a_base_whose_folder_cannot_be_made_does_not_exist(api: Shelter):
    (api.data / "blocked").write_text("a file where the folder should be")
    answer = await api.http.post("/knowledge_base/create_knowledge_base", json={"knowledge_base_name": "blocked"})
    assert answer.json()["code"] == 500
    assert str(api.data) not in answer.text
    assert await api.bases() == [BASE]
    (api.data / "blocked").unlink()
    assert (await api.create("blocked"))["code"] == 200


async def test_ids_are_random_and_all_wrong_ones_are_alike(api: Shelter):
    """T16: ids are keys of the database, never paths. (That another user's id is as unknown is for the accounts room;
    there is no `/v1/files` yet.)"""
    made = [await api.post("/conversations", {"owner": "o" * 32, "title": "t"}) for _ in range(20)]
    ids = {answer["data"]["id"] for answer in made}
    assert len(ids) == 20
    assert all(len(bytes.fromhex(one)) >= 16 for one in ids)
    one = next(iter(ids))
    wrong = [
        "0" * 32,
        one.upper() + "0",
        one[:-1],
        "Li4vLi4vZXRjL3Bhc3N3ZA==",
        "%2e%2e%2fetc%2fpasswd",
        "1",
        "' OR 1=1",
    ]
    answers = []
    for ident in wrong:
        answer = await api.http.get(f"/conversations/{ident}")
        assert answer.status_code == 404, (ident, answer.text)
        answers.append(answer.json().get("error", {}).get("code"))
    assert set(answers) <= {"conversation.not_found", None}, "a path in an id is no route"


def test_the_join_under_all_this_refuses_the_same_names(tmp_path: Path):
    for name in (name for name in [*REFUSED, *BASES] if isinstance(name, str) and name.startswith(("..", "/"))):
        outside = os.path.normpath(tmp_path / name)
        if not outside.startswith(f"{tmp_path}{os.sep}"):
            with pytest.raises(Exception, match="not allowed"):
                join_inside(tmp_path, name)
