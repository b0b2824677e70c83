"""Files into a running stack and their chunks out of it, by HTTP. Used by the benches of this folder."""

from __future__ import annotations

import re
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

_SECONDS = 900.0
EN = {"accept-language": "en"}


@dataclass(frozen=True)
class Uploaded:
    """What became of one file."""

    seconds: float
    state: str
    code: str | None
    sentence: str
    chunks: list[dict[str, Any]]
    warnings: list[str]

    @property
    def whole(self) -> str:
        return folded("\n".join(str(chunk["page_content"]) for chunk in self.chunks))


def folded(text: str) -> str:
    """NFKC without any white space, as the README of the corpora judges."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))


class Uploader:
    """One base of a running stack."""

    def __init__(self, api: str, base: str) -> None:
        self._http = httpx.Client(base_url=api, timeout=_SECONDS, trust_env=False, headers=EN)
        self._base = base
        answer = self._http.post("/knowledge_base/create_knowledge_base", json={"knowledge_base_name": base}).json()
        assert answer["code"] == 200, answer

    def upload(self, name: str, path: Path) -> Uploaded:
        """Upload one file, wait, and read back what is on record."""
        began = time.perf_counter()
        with path.open("rb") as content:
            answer = self._http.post(
                "/knowledge_base/upload_docs",
                data={"knowledge_base_name": self._base, "override": "true"},
                files=[("files", (name, content))],
            ).json()
        seconds = time.perf_counter() - began
        assert answer["code"] == 200, answer
        said = " ".join(answer["data"]["failed_files"].values())
        listed = self._http.get("/knowledge_base/files", params={"knowledge_base_name": self._base}).json()["data"]
        record = next((file for file in listed if file["name"] == name), None)
        if record is None:
            return Uploaded(seconds, "refused", None, said, [], [])
        body = {"knowledge_base_name": self._base, "file_name": name.replace("_", "_")}
        chunks = self._http.post("/knowledge_base/search_docs", json=body).json()
        own = [chunk for chunk in chunks if chunk["metadata"]["source"] == name]
        return Uploaded(seconds, record["state"], record["failure_code"], said, own, record["warnings"])


@contextmanager
def repeatedly(look: Callable[[], None], *, every: float) -> Iterator[None]:
    """Look from a thread, every so many seconds, while the block runs."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every):
            look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@dataclass
class Pulse:
    """How fast the API answers /healthz meanwhile, in seconds."""

    answers: list[float] = field(default_factory=list)

    @contextmanager
    def beating(self, api: str) -> Iterator[None]:
        """Ask all the time while the block runs."""
        with httpx.Client(base_url=api, timeout=30.0, trust_env=False) as http:

            def beat() -> None:
                began = time.perf_counter()
                http.get("/healthz").raise_for_status()
                self.answers.append(time.perf_counter() - began)

            with repeatedly(beat, every=0.05):
                yield
