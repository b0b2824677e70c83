"""Bad input: a clear error on the wire, nothing lost, nothing written outside the data folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.asking import ask
from tests.e2e.conftest import upload
from tests.stack import ROOT, Stack

EN = {"accept-language": "en"}


@pytest.fixture
def base(api: httpx.Client, make_base: Callable[[str], str], tmp_path: Path) -> str:
    """A base with one good file in it."""
    name = make_base("bad input")
    good = tmp_path / "good.txt"
    good.write_text("The lighthouse keeper is called Abigail Thorne.")
    assert upload(api, name, good) == {}
    return name


@pytest.fixture
def nothing_outside(stack: Stack) -> Iterator[None]:
    """The folders around the data folder hold the same files before and after."""

    def around() -> set[Path]:
        return set(stack.folder.iterdir()) | set(stack.folder.parent.iterdir()) | set(ROOT.iterdir())

    before = around()
    yield
    assert around() == before


def send(api: httpx.Client, base: str, name: str, content: bytes) -> str:
    """Upload one file under a raw name; returns the sentence of its failure."""
    files = [("files", (name, content))]
    answer = api.post("/knowledge_base/upload_docs", data={"knowledge_base_name": base}, files=files, headers=EN).json()
    assert answer["code"] == 200, answer
    failed = answer["data"]["failed_files"]
    assert len(failed) == 1, failed
    sentence: str = next(iter(failed.values()))
    return sentence


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", b"", "zero bytes"),
        ("blank.md", b"  \n \n", "no text"),
        ("tool.exe", b"MZ\x90\x00", "not supported"),
        ("picture.pdf", b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "could not be read"),
        ("noise.docx", b"PK\x03\x04 and then nothing", "could not be read"),
        ("a" * 300 + ".txt", b"text", "limit"),
        ("文" * 100 + ".txt", b"text", "limit"),
        ("../../escape.txt", b"text", "separator"),
        ("..\\..\\escape.txt", b"text", "separator"),
        ("/etc/cron.d/escape", b"text", "separator"),
        (".hidden.txt", b"text", "dot"),
    ],
)
def test_a_bad_file_is_refused_with_a_sentence(api, base: str, nothing_outside: None, name, content, said) -> None:
    sentence = send(api, base, name, content)
    assert said in sentence
    assert "Traceback" not in sentence
    assert "Abigail Thorne" in ask(api, base, "What is the lighthouse keeper called?")["answer"]


@pytest.mark.corpora
def test_an_encrypted_pdf_is_refused_with_a_remedy(api, base: str, corpora: Path) -> None:
    locked = (corpora / "documents" / "pdf" / "en_password_needed.pdf").read_bytes()
    assert "password" in send(api, base, "locked.pdf", locked)
    states = api.get("/knowledge_base/files", params={"knowledge_base_name": base}, headers=EN).json()["data"]
    entry = next(file for file in states if file["name"] == "locked.pdf")
    assert (entry["state"], entry["failure_code"]) == ("failed", "file.encrypted")


def test_names_of_bases_are_checked(api, nothing_outside: None) -> None:
    for name in ("../outside", "a/b", "", " ", "x" * 300, "a\0b", "kb'; DROP TABLE"):
        answer = api.post(
            "/knowledge_base/create_knowledge_base", json={"knowledge_base_name": name}, headers=EN
        ).json()
        assert answer["code"] == 400, (name, answer)
        assert "not allowed" in answer["msg"]


def test_unknown_base_and_unknown_model_are_named(api, base: str) -> None:
    body = {"query": "?", "knowledge_base_name": "nowhere"}
    absent = api.post("/chat/knowledge_base_chat", json=body, headers=EN).json()
    assert (absent["code"], absent["error"]["code"]) == (404, "knowledge_base.not_found")
    assert "nowhere" in absent["msg"]
    body = {"query": "Who keeps the lighthouse?", "knowledge_base_name": base, "model_name": "gpt-9"}
    answer = api.post("/chat/knowledge_base_chat", json=body, headers=EN).text
    assert "model.unknown" in answer
    assert "gpt-9" in answer


def test_the_same_file_twice_needs_override(api, base: str, tmp_path: Path) -> None:
    again = tmp_path / "good.txt"
    again.write_text("The lighthouse keeper is called Bartholomew Finch.")
    assert "override" in send(api, base, "good.txt", again.read_bytes())
    assert "Abigail Thorne" in ask(api, base, "What is the lighthouse keeper called?")["answer"]
    assert upload(api, base, again, override=True) == {}
    replaced = ask(api, base, "What is the lighthouse keeper called?")
    assert "Bartholomew Finch" in replaced["answer"]
    assert "Abigail" not in str(replaced["citations"])


def test_the_same_file_name_in_two_bases_never_collides(api, make_base, tmp_path: Path) -> None:
    names = {"left wing": "Abigail", "right wing": "Bartholomew"}
    for base, keeper in names.items():
        path = tmp_path / base / "keeper.txt"
        path.parent.mkdir()
        path.write_text(f"The lighthouse keeper is called {keeper}.")
        assert upload(api, make_base(base), path) == {}
    body = {"knowledge_base_name": "left wing", "file_names": ["keeper.txt"], "delete_content": True}
    assert api.post("/knowledge_base/delete_docs", json=body).json()["data"]["failed_files"] == {}
    query = {"query": "lighthouse keeper", "top_k": 10}
    left = api.post("/knowledge_base/search_docs", json={**query, "knowledge_base_name": "left wing"}).json()
    right = api.post("/knowledge_base/search_docs", json={**query, "knowledge_base_name": "right wing"}).json()
    assert left == []
    assert [found["page_content"] for found in right] == ["The lighthouse keeper is called Bartholomew."]
