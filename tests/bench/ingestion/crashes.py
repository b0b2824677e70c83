"""Kill -9 at random moments while files come in: `python -m tests.bench.ingestion.crashes [--kills 50] [--write]`.

The api, the process that indexes files, the process that has the vector store open and the processes that read files
are killed in turn. At the end every file that was acknowledged must be searchable exactly once or failed with a reason,
and the database, the vector store and the keyword index must hold the same chunks. The time each kill took to heal is
printed: until the killed process was ready again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx
import psutil

from services.api.domain.names import KnowledgeBaseName
from services.api.knowledge.text_index import TEXT_INDEXES
from services.api.knowledge.text_index.site import Site
from services.api.knowledge.vector_stores import VECTOR_STORES
from services.api.storage.database import SqlStorage
from tests.bench.report import publish, table
from tests.stack import Stack

_BASE = "crashes"
_READER = "services.api.knowledge.parsing.child"
_KINDS = ("ingest", "api", "reader", "milvus")
_SETTLE_SECONDS = 600.0
_READER_WAIT_SECONDS = 5.0
_WORDS = ("harbour", "lantern", "orchard", "velvet", "quarry", "saddle", "thimble", "walnut", "ember", "glacier")


@dataclass
class Tally:
    """What happened."""

    acknowledged: set[str] = field(default_factory=set)
    killed: Counter[str] = field(default_factory=Counter)
    healed_seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def content_of(number: int, dice: random.Random) -> bytes:
    """A text with a word of its own in each paragraph; every tenth is no PDF, though it is called one."""
    if number % 10 == 9:
        return b"this is no pdf " * 50
    paragraphs = [
        f"Paragraph {part} of marker{number:04}x tells of the {' '.join(dice.choices(_WORDS, k=40))}."
        for part in range(dice.randint(5, 120))
    ]
    return "\n\n".join(paragraphs).encode()


def name_of(number: int) -> str:
    return f"file {number:04}.{'pdf' if number % 10 == 9 else 'txt'}"


def upload_all(stack: Stack, count: int, tally: Tally) -> None:
    """Upload every file until it is acknowledged; whether it is indexed is not waited for."""
    dice = random.Random(7)  # noqa: S311 - the same files every time
    for number in range(count):
        content, name = content_of(number, dice), name_of(number)
        while name not in tally.acknowledged:
            with suppress(httpx.HTTPError, KeyError):
                answer = httpx.post(
                    f"{stack.api}/knowledge_base/upload_docs",
                    data={"knowledge_base_name": _BASE, "override": "true", "wait": "false"},
                    files=[("files", (name, content))],
                    timeout=30.0,
                    trust_env=False,
                ).json()
                if answer["code"] == 200 and not answer["data"]["failed_files"]:
                    tally.acknowledged.add(name)
                    break
            time.sleep(0.1)


def victims(stack: Stack) -> dict[str, list[psutil.Process]]:
    """What may be killed, by what it is."""
    assert stack.process is not None
    found: dict[str, list[psutil.Process]] = {kind: [] for kind in _KINDS}
    for child in psutil.Process(stack.process.pid).children(recursive=True):
        with suppress(psutil.Error):
            words = child.cmdline()
            if _READER in words:
                found["reader"].append(child)
            elif "services.api" in words:
                found[next((kind for kind in ("ingest", "milvus") if kind in words), "api")].append(child)
    return found


def kill_some(stack: Stack, kills: int, tally: Tally) -> None:
    """Kill one kind after the other, each once all of them are ready again."""
    dice = random.Random(11)  # noqa: S311
    while tally.killed.total() < kills:
        time.sleep(dice.uniform(0.2, 3.0))
        kind = _KINDS[tally.killed.total() % len(_KINDS)]
        limit = time.monotonic() + _READER_WAIT_SECONDS
        while not (wanted := victims(stack)[kind]) and time.monotonic() < limit:
            time.sleep(0.05)
        if not wanted:  # nothing is being read just now
            kind = "ingest"
            wanted = victims(stack)[kind]
        with suppress(psutil.Error, IndexError):
            dice.choice(wanted).kill()
            tally.killed[kind] += 1
        began = time.monotonic()
        while not _answers(stack):
            time.sleep(0.1)
        tally.healed_seconds.append(time.monotonic() - began)


def _answers(stack: Stack) -> bool:
    """Whether all that can be killed is ready."""
    try:
        return all(
            httpx.get(f"http://127.0.0.1:{stack.ports[name]}/healthz", timeout=2.0, trust_env=False).status_code == 200
            for name in ("api", "ingest", "milvus_health")
        )
    except httpx.HTTPError:
        return False


def settled(stack: Stack) -> list[dict[str, object]]:
    """The files when none of them is being indexed any more."""
    limit = time.monotonic() + _SETTLE_SECONDS
    files: list[dict[str, object]] = []
    while time.monotonic() < limit:
        with suppress(httpx.HTTPError):
            params = {"knowledge_base_name": _BASE}
            answer = httpx.get(f"{stack.api}/knowledge_base/files", params=params, timeout=30.0, trust_env=False)
            files = answer.json()["data"]
            if all(file["state"] != "pending" for file in files):
                return files
        time.sleep(0.5)
    raise AssertionError(f"still pending: {[file['name'] for file in files if file['state'] == 'pending']}")


def check_files(stack: Stack, files: list[dict[str, object]], tally: Tally) -> None:
    """Every acknowledged file is there, and found by its own word, or failed with a reason."""
    known = {str(file["name"]): file for file in files}
    tally.wrong += [f"{name} was acknowledged and is lost" for name in tally.acknowledged - set(known)]
    with httpx.Client(base_url=stack.api, timeout=60.0, trust_env=False) as http:
        for name, file in known.items():
            if name.endswith(".pdf"):
                if (file["state"], file["failure_code"]) != ("failed", "file.unreadable"):
                    tally.wrong.append(f"{name} is {file['state']}, {file['failure_code']}")
                continue
            if file["state"] != "indexed":
                tally.wrong.append(f"{name} is {file['state']}: {file['failure']}")
                continue
            body = {"knowledge_base_name": _BASE, "file_name": name}
            listed = http.post("/knowledge_base/search_docs", json=body).json()
            if len({chunk["id"] for chunk in listed}) != file["chunk_count"] or len(listed) != file["chunk_count"]:
                tally.wrong.append(f"{name} has {len(listed)} chunks, {file['chunk_count']} on record")
            query = {"knowledge_base_name": _BASE, "query": f"marker{name[5:9]}x", "top_k": 1}
            found = http.post("/knowledge_base/search_docs", json=query).json()
            if [chunk["metadata"]["source"] for chunk in found] != [name]:
                tally.wrong.append(f"{name} is not found by its own word")


async def check_indexes(data_dir: Path, tally: Tally) -> int:
    """The three stores hold the same chunks; how many."""
    storage = SqlStorage(f"sqlite+aiosqlite:///{data_dir / 'info.db'}")
    vectors = VECTOR_STORES.build("milvus", data_dir / "vectors.milvus", {})
    keywords = TEXT_INDEXES.build("sqlite_fts", Site(data_dir, ""), options={})
    await storage.start()
    await asyncio.gather(vectors.start(), keywords.start())
    try:
        async with storage.begin() as work:
            base = await work.knowledge_bases.get(KnowledgeBaseName(_BASE))
            known = await work.chunks.ids_of_base(base.id)
            staged = [chunk for file in await work.files.of_base(base.id) for chunk in await work.staged.ids(file.id)]
        for name, held in (
            ("vector store", await vectors.ids(base.id)),
            ("keyword index", await keywords.ids(base.id)),
        ):
            if held - known:
                tally.wrong.append(f"the {name} holds {len(held - known)} orphans")
            if known - held:
                tally.wrong.append(f"the {name} misses {len(known - held)} chunks")
        if staged:
            tally.wrong.append(f"{len(staged)} chunks are staged still")
        return len(known)
    finally:
        await vectors.stop()
        await keywords.stop()
        await storage.stop()


def main() -> None:
    """Kill, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--files", type=int, default=120)
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    tally, began = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        with Stack(Path(folder), webui=False) as stack:
            body = {"knowledge_base_name": _BASE}
            httpx.post(
                f"{stack.api}/knowledge_base/create_knowledge_base", json=body, trust_env=False
            ).raise_for_status()
            uploading = threading.Thread(target=upload_all, args=(stack, arguments.files, tally))
            uploading.start()
            kill_some(stack, arguments.kills, tally)
            uploading.join()
            check_files(stack, settled(stack), tally)
        chunks = asyncio.run(check_indexes(stack.data_dir, tally))
    healed = f"{median(tally.healed_seconds):.1f}, {max(tally.healed_seconds):.1f}"
    rows = [
        ("files acknowledged", len(tally.acknowledged)),
        ("kills of the api", tally.killed["api"]),
        ("kills of the process that indexes files", tally.killed["ingest"]),
        ("kills of the process that has the vector store open", tally.killed["milvus"]),
        ("kills of processes that read files", tally.killed["reader"]),
        ("seconds until all was ready again, median and longest", healed),
        ("chunks in the database, the vector store and the keyword index", chunks),
        ("files lost, doubled or not found; chunks orphaned or missing", len(tally.wrong)),
        ("seconds", round(time.monotonic() - began)),
    ]
    text = "\n".join([table(("figure", "value"), rows), "", *(f"- {wrong}" for wrong in tally.wrong)])
    publish("Kills while files come in", "python -m tests.bench.ingestion.crashes", text, write=arguments.write)


if __name__ == "__main__":
    main()
