"""The examples of docs/howto, run: by the contract suites, by the API over fakes, by the readers of settings."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import yaml
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.api.app import create_app
from services.api.bootstrap import Replacements, build
from services.api.chat.prompts import FilePrompts
from services.api.domain.knowledge import Document, Place, Section, SourceFile
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.knowledge.orders import NewKnowledgeBase
from services.api.knowledge.splitters import SPLITTERS
from services.api.knowledge.text_index.postgres.address import arguments_of
from services.api.knowledge.vector_stores import VECTOR_STORES
from services.api.storage.database import SqlStorage
from services.foundation.errors import ChatchatError, error_from, every_error
from services.foundation.http import envelope_body, openai_dialect
from services.foundation.settings.load import BadSettings, read_settings
from services.foundation.settings.tree import Knowledge, Models, Server, Settings
from services.worker.engines import ENGINES
from tests.architecture.sources import ROOT
from tests.contract.engine import ChatEngineContract, collect, spec, text_of
from tests.contract.loader import WORDS, LoaderContract
from tests.contract.splitter import SplitterContract
from tests.contract.vector_store import VectorStoreContract
from tests.fakes.storage import MemoryStorage
from tests.fakes.text_index import MemoryTextIndex
from tests.fakes.vector_store import MemoryStore
from tests.integration.api_bench import MODELS, ApiBench, api_bench, events_of
from tests.unit.api.knowledge.loaders.making import lines_of_text, pdf
from tests.unit.docs.pages import blocks, commands, example, fragment, loaded, spans, text_of_page
from webui.i18n import Texts, texts_in


class TestLoader(LoaderContract):
    extension = ".adoc"

    @pytest.fixture
    def loader(self):
        return example("add-a-loader").AdocLoader()

    def write(self, path: Path) -> None:
        path.write_text("\n\n".join(WORDS), encoding="utf-8")

    def test_titles_are_headings(self, loader, tmp_path: Path):
        path = tmp_path / "手册.adoc"
        path.write_text("= Guide\n\nFirst.\n\n== Setup\nSecond.\r\n\n= End\nThird.\n", encoding="utf-8")
        read = loader.load(SourceFile(FileName.parse(path.name), path))
        places = [(section.text, section.place.heading) for section in read.sections if section.text.endswith(".")]
        assert places == [("First.", ("Guide",)), ("Second.", ("Guide", "Setup")), ("Third.", ("End",))]


class TestSplitter(SplitterContract):
    @staticmethod
    def build(chunk_chars: int, overlap_chars: int, **options: Any):
        return example("add-a-splitter").LinesSplitter(chunk_chars=chunk_chars, overlap_chars=overlap_chars, **options)

    def test_a_line_is_a_passage(self, splitter):
        found = splitter.split(Document((Section("甲\n\n 乙 \n丙", Place(page=2)),)))
        assert [(passage.text, passage.place.page) for passage in found] == [("甲", 2), ("乙", 2), ("丙", 2)]

    def test_it_is_chosen_in_the_settings(self):
        assert Knowledge(**fragment("add-a-splitter")).splitter.name == "lines"


def test_every_splitter_is_described_and_the_one_chosen_can_be_built():
    described = re.findall(r"^\| `(\w+)` \|", text_of_page("choose-a-splitter"), re.MULTILINE)
    assert sorted(described) == list(SPLITTERS)
    chosen = Knowledge(**fragment("choose-a-splitter")).splitter
    assert isinstance(SPLITTERS.build(chosen.name, **chosen.options), SPLITTERS.load("sentences"))


class TestEngine(ChatEngineContract):
    @pytest.fixture
    async def engine(self):
        return example("add-an-engine").ShoutEngine(spec())

    async def test_it_shouts(self, engine):
        request = self.asking(messages=[{"role": "user", "content": "say this"}])
        assert text_of(await collect(engine, request)) == "SAY THIS ! "

    def test_a_wrong_option_is_named(self):
        with pytest.raises(ChatchatError, match=r"options\.endnig"):
            example("add-an-engine").ShoutEngine(spec(endnig="?"))


class TestVectorStore(example("add-a-vector-store").TestMemory):  # type: ignore[misc]
    def test_the_example_is_a_run_of_the_suite(self):
        assert isinstance(self, VectorStoreContract)

    def test_it_is_chosen_in_the_settings(self, tmp_path: Path):
        chosen = Knowledge(**fragment("add-a-vector-store")).vector_store
        assert isinstance(VECTOR_STORES.build(chosen.name, tmp_path, chosen.options), VECTOR_STORES.load("milvus"))
        with pytest.raises(ChatchatError, match=r"knowledge.vector_store.options.ur\b"):
            VECTOR_STORES.build(chosen.name, tmp_path, {"ur": "http://x"})


async def test_the_endpoint_counts_and_its_failure_is_rendered(tmp_path: Path):
    storage: Any = MemoryStorage()
    fakes = Replacements(storage=storage, vectors=MemoryStore(), keywords=MemoryTextIndex())
    settings = Settings(models=MODELS, server=Server(data_dir=tmp_path))
    service = build(settings, fakes).knowledge
    await service.create(NewKnowledgeBase(KnowledgeBaseName.parse("reports")))
    app = create_app(settings, fakes)
    app.include_router(example("add-an-endpoint").router(service))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as http:
        counted = await http.get("/knowledge_base/files/count?knowledge_base_name=reports")
        refused = await http.get("/knowledge_base/files/count?knowledge_base_name=gone")
    assert counted.json() == {"code": 200, "msg": "success", "data": {"files": 0, "chunks": 0}, **_no_error(counted)}
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "knowledge_base.not_found")


def _no_error(answer: httpx.Response) -> dict[str, None]:
    return {"error": None} if "error" in answer.json() else {}


def test_the_setting_is_read_bounded_and_overridden(monkeypatch: pytest.MonkeyPatch):
    page = example("add-a-setting")

    class Reader(page.WithPreview, BaseSettings):  # type: ignore[misc,name-defined]
        model_config = SettingsConfigDict(env_prefix="CHATCHAT_", env_nested_delimiter="__", extra="forbid")

    (given,) = [words[0].split("=") for words in commands("add-a-setting") if "=" in words[0]]
    monkeypatch.setenv(*given)
    preview = Reader().preview
    assert (preview.limit_bytes, preview.enabled) == (int(given[1]), True)
    with pytest.raises(ValidationError):
        page.Preview(limit_bytes=0)
    with pytest.raises(ValidationError):
        page.Preview(limit_byte=1)
    with pytest.raises(ValidationError):
        preview.enabled = False
    assert all(field.description for field in page.Preview.model_fields.values())


@pytest.fixture
def failure_page() -> Iterator[ModuleType]:
    """The page's module, and afterwards nothing of it: other tests walk every failure there is."""
    module = loaded("add-a-failure")
    yield module
    vars(module).clear()
    gc.collect()
    assert [each for each in every_error() if each.__module__.startswith("howto")] == []


def test_the_failure_is_rendered_in_every_dialect_and_rebuilt(failure_page):
    error = failure_page.TooManyFiles(name="reports", limit=50)
    (code, chinese) = next(iter(fragment("add-a-failure").items()))
    answer = openai_dialect(error, "r1")
    assert answer.status_code == 409
    assert json.loads(bytes(answer.body))["error"]["code"] == code
    envelope = envelope_body(error, "r1", "en")
    assert (envelope["code"], envelope["msg"]) == (409, str(error))
    assert str(error) == "The knowledge base 'reports' holds 50 files, which is the most. Remove some first."
    assert error.render(chinese) == "知识库 reports 已有 50 个文件，达到上限。请先删除一些文件。"
    assert str(error_from(code, {"name": "reports", "limit": 50})) == str(error)


def test_the_model_is_an_entry_of_the_shipped_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shipped = yaml.safe_load((ROOT / "configs" / "models.yaml").read_text(encoding="utf-8"))
    added = fragment("add-a-model")
    whole = {**shipped, **added, "served": {**shipped["served"], **added["served"]}}
    Models(**whole)
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    (variable,) = re.findall(r"CHATCHAT_\w+API_KEY", text_of_page("add-a-model"))
    monkeypatch.setenv(variable, "from-the-environment")
    served = read_settings(tmp_path).models.served[whole["default_chat"]]
    assert served.options == {**added["served"]["qwen3"]["options"], "api_key": "from-the-environment"}
    engine: Any = ENGINES.build(served.engine, spec(**served.options))
    assert engine._options.api_key == SecretStr("from-the-environment")
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(added), encoding="utf-8")
    with pytest.raises(BadSettings, match="default_embedding"):
        read_settings(tmp_path)


def test_the_prompt_is_rendered_with_what_its_use_is_given(tmp_path: Path):
    (tmp_path / "knowledge_base_chat.yaml").write_text(blocks("add-a-prompt", "yaml")[0], encoding="utf-8")
    prompts = FilePrompts(tmp_path, ROOT / "configs" / "prompts")
    prompts.check()
    said = prompts.render("knowledge_base_chat", "brief", {"context": "[1] 甲", "question": "乙？"}, "en")
    assert said == "<已知信息>\n[1] 甲\n</已知信息>\n\n<问题>乙？</问题>"


def test_every_use_declares_what_the_page_says_it_is_given():
    for use, declared in {
        "llm_chat": {"input"},
        "knowledge_base_chat": {"context", "question"},
        "condense": {"history", "question", "count"},
    }.items():
        shipped = yaml.safe_load((ROOT / "configs" / "prompts" / f"{use}.yaml").read_text(encoding="utf-8"))
        assert set().union(*(entry["variables"] for entry in shipped.values())) == declared
        (line,) = re.findall(
            rf"^- `{use}`.*?:(.*?)(?=\n- |\n\n)", text_of_page("add-a-prompt"), re.MULTILINE | re.DOTALL
        )
        assert {name for name in declared if f"`{name}`" in line} == declared


def test_the_language_has_known_keys_and_their_facts():
    english, added = texts_in("en"), fragment("add-a-ui-language")
    facts = {"count": 3, "page": 7}
    for key, sentence in added.items():
        assert key in english
        assert re.findall(r"\{(\w+)\}", sentence) == re.findall(r"\{(\w+)\}", english._sentences[key])
    assert Texts("de", added)("citations.open_at", **facts) == "Datei auf Seite 7 öffnen"


def test_the_settings_for_other_machines_are_valid():
    server = Server(**fragment("configure"))
    assert (server.api.host, server.gateway.host, server.webui.host) == ("0.0.0.0", "0.0.0.0", "127.0.0.1")  # noqa: S104
    assert server.api.url == "http://192.168.1.20:7861"
    assert len(server.access_keys) == 1
    (inline,) = [span for span in spans("configure") if span.startswith("webui:")]
    assert Server(**yaml.safe_load(inline)).webui.host == "0.0.0.0"  # noqa: S104


async def curl(api: ApiBench, words: list[str], content: bytes) -> httpx.Response:
    """What a curl command does, for the options the page uses; a file to upload has `content`."""
    url, given = "", dict[str, list[str]]()
    rest = iter(words[1:])
    for word in rest:
        if word.startswith("$API"):
            url = word.removeprefix("$API")
        elif word not in {"-s", "-N"}:
            given.setdefault(word, []).append(next(rest))
    if "-F" not in given:
        headers = dict(header.split(": ") for header in given["-H"])
        return await api.http.post(url, content=given["-d"][0].encode(), headers=headers)
    form = dict(part.split("=", 1) for part in given["-F"])
    attached = {name: (value[1:], content) for name, value in form.items() if value.startswith("@")}
    return await api.http.post(url, files=attached, data={name: form[name] for name in form.keys() - attached.keys()})


async def test_the_questions_over_http_are_answered_as_the_page_says(tmp_path: Path):
    settings = Settings(models=MODELS, server=Server(data_dir=tmp_path))
    content = pdf([lines_of_text(["The return on equity is 12 percent."])])
    async with api_bench(settings) as api:
        asked = [words for words in commands("ask-over-http") if words[0] == "curl"]
        made, uploaded, found, answered = [await curl(api, words, content) for words in asked]
        unknown = await api.post("/chat/knowledge_base_chat", {"query": "?", "knowledge_base_name": "gone"})
        body = {"model": "talk", "messages": [{"role": "user", "content": "?"}]}
        whole = await api.post("/knowledge_base/local_kb/reports/chat/completions", body)
        plain = await api.events("/chat/chat", {"query": "?", "stream": True})
    assert made.json()["code"] == 200
    assert uploaded.json()["data"] == {"failed_files": {}}
    assert isinstance(found.json(), list)
    *pieces, last = events_of(answered.text)
    assert pieces
    assert all(set(piece) == {"answer"} for piece in pieces)
    assert set(last) == {"docs", "citations", "query"}
    assert (unknown.status_code, unknown.json()["code"]) == (200, 404)
    assert unknown.json()["error"]["facts"] == {"name": "gone"}
    assert whole.json()["object"] == "chat.completion"
    assert set(plain[0]) == {"text", "message_id"}


def test_the_database_that_the_page_names_is_used_for_metadata_and_keywords():
    settings = Settings(knowledge=Knowledge(**fragment("use-postgresql")))
    assert settings.text_index.name == "postgres"
    assert arguments_of(settings.database_url)["ssl"] == "require"
    SqlStorage(settings.database_url)
