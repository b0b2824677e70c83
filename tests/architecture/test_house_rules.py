"""Law 7 and the guards of the house: sizes, words, and what nobody may call."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterable, Iterator

import pytest

from tests.architecture.sources import ROOT, Source, dotted, product, suite

LINES = 400
NO_LIMIT = {
    "services/foundation/errors.py",
    "services/wire/openai.py",
    "services/wire/chatchat.py",
    "services/wire/control.py",
}
"""The table of failures, and wire models: as long as there are failures and the wire has messages."""
LESS_LINES = {"services/api/bootstrap.py": 200, "services/api/app.py": 80, "webui/app.py": 60, "webui/views/": 200}

FOUNDATION = {
    "__init__.py",
    "access.py",
    "errors.py",
    "http.py",
    "logs.py",
    "messages.zh_CN.yaml",
    "paths.py",
    "registry.py",
    "settings/__init__.py",
    "settings/__main__.py",
    "settings/answering.py",
    "settings/load.py",
    "settings/models.py",
    "settings/node.py",
    "settings/providers.py",
    "settings/tree.py",
    "sse.py",
}
NAMELESS = {"utils", "util", "common", "helpers", "helper", "constants", "misc", "tools_common"}

WORDS = {"doc", "docs", "score", "scores", "data", "info", "obj", "util", "utils", "helper", "helpers"} | {
    "manager",
    "handler",
    "my",
    "impl",
    "abstract",
}
PREFIXES = ("base_", "do_")
BASE_MEANS_KNOWLEDGE_BASE = {"base_details", "base_name", "base_id", "base_ids", "base_values"}
ALLOWED_WORDS = {
    "base_url": "the word of httpx and of OpenAI's clients",
    "data_dir": "the setting's public name: the folder of everything that is kept",
}
ALLOWED_FILES = {
    "services/wire/": "the public wires: 0.2.10's and OpenAI's field names",
    "services/api/chat/render.py": "0.2.10's event fields",
    "services/api/chat/summary_routes.py": "0.2.10's operation name (summary_doc_ids_to_vector_store)",
    "services/api/knowledge/render.py": "0.2.10's body fields (score_threshold)",
    "services/api/knowledge/routes.py": "0.2.10's operation names (upload_docs, …)",
    "services/api/knowledge/search_routes.py": "0.2.10's operation name (search_docs)",
    "services/api/knowledge/temporary_routes.py": "0.2.10's operation name (upload_temp_docs)",
    "services/controller/": "FastChat's own method names",
    "services/gateway/connection.py": "asyncio's own method name (data_received)",
    "services/gateway/fastchat_dialect.py": "FastChat's field names",
    "services/worker/fastchat_routes.py": "FastChat's field names",
    "services/worker/engines/remote/openai_compatible.py": "OpenAI's and Jina's field names (data, relevance_score)",
}

IGNORED_IMPORTS = [
    "services.worker.engines.local.** -> torch",
    "services.worker.engines.local.** -> transformers",
    "services.worker.engines.local.** -> sentence_transformers",
    "services.worker.engines.local.** -> vllm",
    "services.worker.engines.local.** -> fastchat",
    "services.controller.** -> fastchat",
    "services.api.knowledge.vector_stores.** -> pymilvus",
    "services.api.storage.** -> sqlalchemy",
    "webui.** -> streamlit",
]
STREAMING = {"services/api/chat/speaking.py", "services/api/chat/condensing.py"}

EVERYTHING = (*product(), *suite())


def limit_of(path: str) -> int:
    return min([LINES, *(limit for start, limit in LESS_LINES.items() if path.startswith(start))])


def test_a_file_is_short():
    measured = {source.path: source.lines for source in EVERYTHING if source.path not in NO_LIMIT}
    assert {path: lines for path, lines in measured.items() if lines > limit_of(path)} == {}


def test_a_module_opens_with_a_docstring():
    assert [source.path for source in product() if not ast.get_docstring(source.tree)] == []


def test_a_file_is_named_after_something():
    assert [source.path for source in EVERYTHING if NAMELESS & set(source.path.removesuffix(".py").split("/"))] == []


def test_the_foundation_holds_these_files_and_no_others():
    folder = ROOT / "services" / "foundation"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {path for path in found if "__pycache__" not in path} == FOUNDATION


@pytest.mark.parametrize("folder", ["configs", "model", "knowledge_base"])
def test_volumes_hold_no_python(folder: str):
    assert list((ROOT / folder).rglob("*.py")) == []


def words_in(name: str) -> set[str]:
    """`KBServiceInfo_x` → {"kb", "service", "info", "x"}."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def names_in(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Public classes and functions, their parameters, and the fields of classes."""
    for node in ast.walk(source.tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node, name
            case ast.arg(arg=name):
                yield node, name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield node, name


def is_banned(name: str) -> bool:
    if name in ALLOWED_WORDS or name.lstrip("_") in BASE_MEANS_KNOWLEDGE_BASE or name.startswith("_"):
        return False
    return bool(WORDS & words_in(name)) or name.startswith(PREFIXES)


def test_names_are_the_words_of_the_glossary():
    strict = [source for source in product() if not source.path.startswith(tuple(ALLOWED_FILES))]
    banned = [f"{source.at(node)} {name}" for source in strict for node, name in names_in(source) if is_banned(name)]
    assert banned == []


@pytest.mark.parametrize(
    "name", ["KBManager", "FileInfo", "score", "retrieved_docs", "base_loader", "do_search", "my_x"]
)
def test_the_banned_words_are_seen(name: str):
    assert is_banned(name)


@pytest.mark.parametrize("name", ["document", "database", "base_url", "base", "scored", "informed", "mystery"])
def test_other_words_are_not(name: str):
    assert not is_banned(name)


def test_every_allowance_is_lived_in():
    paths = [source.path for source in product()]
    gone = [path for path in ALLOWED_FILES if not any(found.startswith(path) for found in paths)]
    assert gone == []


CALLS = {"eval", "exec", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "yaml.full_load"} | {
    "pickle.load",
    "pickle.loads",
    "torch.load",
    "marshal.loads",
    "logging.basicConfig",
}
MODULES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "requests"}
KEYWORDS = {"shell", "trust_remote_code", "unsafe_allow_html", "allow_dangerous_deserialization"}


def imports_in(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Every imported module, in full."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def dangers_in(source: Source) -> Iterable[str]:
    for call in source.calls():
        if dotted(call.func) in CALLS:
            yield f"{source.at(call)} calls {dotted(call.func)}"
        for keyword in call.keywords:
            off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            if keyword.arg in KEYWORDS and not off and not is_the_operators(source, keyword):
                yield f"{source.at(call)} passes {keyword.arg}"
    for node, name in imports_in(source):
        if name.partition(".")[0] in MODULES:
            yield f"{source.at(node)} imports {name}"


def is_the_operators(source: Source, keyword: ast.keyword) -> bool:
    """Local engines run a model's own code when its entry says so: they hand the option on, and never set it."""
    handed_on = not isinstance(keyword.value, ast.Constant)
    in_test = source.path == "tests/unit/worker/test_weights.py"
    in_engine = source.path.startswith("services/worker/engines/local/") and handed_on
    return keyword.arg == "trust_remote_code" and (in_engine or in_test)


def test_nothing_dangerous_is_called():
    assert [danger for source in EVERYTHING for danger in dangers_in(source)] == []


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')",
        "import os\nos.system('ls')",
        "import pickle",
        "from pickle import loads",
        "run(['ls'], shell=True)",
        "load('m', trust_remote_code=flag)",
        "st.markdown(x, unsafe_allow_html=True)",
        "yaml.load(x, Loader=yaml.FullLoader)",
    ],
)
def test_the_dangers_are_seen(text: str):
    assert list(dangers_in(Source("x.py", text, ast.parse(text))))


def test_the_path_of_a_request_is_read_from_its_scope():
    """`request.url` is put together from the Host header, which the caller writes."""
    read = [
        source.at(node)
        for source in product()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and dotted(node).endswith("request.url.path")
    ]
    assert read == []


def test_a_chat_model_is_streamed_in_two_files():
    """A second answering flow would begin with another of these calls."""
    found = {
        source.path
        for source in product()
        for call in source.calls()
        if dotted(call.func).endswith(".stream")
        and (source.path.startswith("services/api/") or dotted(call.func).endswith("model.stream"))
    }
    assert found == STREAMING


def test_no_contract_has_a_new_exception():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    assert [line for contract in contracts for line in contract.get("ignore_imports", [])] == IGNORED_IMPORTS


LOOSE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!.*#\d+)")


def loose_in(source: Source) -> Iterable[str]:
    if LOOSE.search(source.text) is None:  # reading tokens is slow, and almost no file needs it
        return
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT and LOOSE.search(token.string):
            yield f"{source.path}:{token.start[0]} {token.string}"


def test_no_loose_end_without_an_issue():
    assert [loose for source in EVERYTHING for loose in loose_in(source)] == []


def patches_in(source: Source) -> Iterable[str]:
    ours = {name.rpartition(".")[2] for _, name in imports_in(source) if name.startswith(("services", "webui"))}
    for call in source.calls():
        name = dotted(call.func)
        if name.startswith(("mock.", "mocker.", "unittest.mock")) or name in {"patch", "MagicMock", "AsyncMock"}:
            yield f"{source.at(call)} mocks"
        if re.fullmatch(r"(\w*monkeypatch|patch|mp)\.(setattr|delattr)", name) and call.args:
            target = ast.unparse(call.args[0]).strip("'\"").partition(".")[0]
            if target in {"services", "webui"} | ours:
                yield f"{source.at(call)} patches {target}"
    yield from (f"{source.at(node)} imports {name}" for node, name in imports_in(source) if "mock" in name.split("."))


def test_no_test_patches_what_it_tests():
    assert [patch for source in suite() for patch in patches_in(source)] == []


@pytest.mark.parametrize(
    "text",
    [
        "monkeypatch.setattr('services.api.app.create_app', None)",
        "from services.api import app\nmonkeypatch.setattr(app, 'create_app', None)",
        "from unittest import mock",
        "from unittest.mock import patch",
        "with mock.patch('x'): pass",
    ],
)
def test_patches_are_seen(text: str):
    assert list(patches_in(Source("x.py", text, ast.parse(text))))
