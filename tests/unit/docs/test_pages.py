"""The pages of docs/howto are short, and every path, flag, route, name and variable on them exists."""

from __future__ import annotations

import re
from functools import cache
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import init_database
from services.api.app import create_app
from services.evaluation import flags as evaluation
from services.foundation.settings.tree import Settings
from services.supervisor.flags import parser
from tests.architecture.sources import ROOT, product, suite
from tests.integration.api_bench import MODELS
from tests.unit.docs.pages import (
    EXAMPLES,
    FENCE,
    HOWTO,
    LINES,
    MADE,
    blocks,
    commands,
    example,
    spans,
    text_of_page,
)

each_page = pytest.mark.parametrize("page", sorted(EXAMPLES))


def test_every_page_and_every_example_has_its_test():
    found = {
        path.stem: [language for language, _ in FENCE.findall(path.read_text(encoding="utf-8"))]
        for path in HOWTO.iterdir()
    }
    assert found == EXAMPLES


@each_page
def test_a_page_is_short_and_every_fence_names_its_language(page: str):
    lines = text_of_page(page).splitlines()
    assert len(lines) <= LINES
    assert lines[0].startswith("# ")
    assert sum(line.startswith("```") for line in lines) == 2 * len(EXAMPLES[page])


@cache
def files() -> tuple[str, ...]:
    folders = ("configs", "docs", "services", "tests", "webui", "model", "knowledge_base")
    nested = [path for folder in folders for path in ROOT.glob(f"{folder}/**/*") if "__pycache__" not in path.parts]
    nested += [ROOT / folder for folder in folders]
    return tuple(f"/{path.relative_to(ROOT).as_posix()}{'/' * path.is_dir()}" for path in [*nested, *ROOT.glob("*.*")])


def is_there(path: str) -> bool:
    """Whether a file or folder ends like this; `<name>` stands for any."""
    pattern = re.compile(f".*/{re.sub('<[a-z]+>', '[^/]+', path)}")
    return any(pattern.fullmatch(file) for file in files())


@each_page
def test_every_path_exists_or_is_made_by_the_reader(page: str):
    named = {span for span in spans(page) if re.fullmatch(r"[\w<>.-][\w<>./-]*(/|\.(py|yaml|md|toml))", span)}
    named |= {f"docs/{link.removeprefix('../')}" for link in re.findall(r"\]\((\S+?)\)", text_of_page(page))}
    assert [path for path in named - MADE if not is_there(path)] == []
    assert not is_there("tests/contract/test_vector_stores.py")


def test_what_the_reader_makes_is_named_and_not_there_yet():
    named = {span for page in EXAMPLES for span in spans(page)}
    assert named >= MADE
    assert [path for path in MADE if (ROOT / path).exists()] == []


@cache
def words_of_the_code() -> frozenset[str]:
    own = Path(__file__).parent.relative_to(ROOT).as_posix()
    sources = [source.text for source in (*product(), *suite()) if not source.path.startswith(own)]
    return frozenset(re.findall(r"\w+", "\n".join(sources)))


@each_page
def test_every_name_of_the_code_exists(page: str):
    named = {span for span in spans(page) if re.fullmatch(r"[A-Za-z]\w*_\w+|[A-Z]\w*[a-z]\w*|[A-Z_]{5,}", span)}
    own = set(re.findall(r"\w+", "\n".join(blocks(page, "python"))))
    assert {name for name in named - own - words_of_the_code() if not name.startswith("CHATCHAT_")} == set()


@cache
def routes() -> set[tuple[str, str]]:
    described = create_app(Settings(models=MODELS)).openapi()["paths"]
    return {(method.upper(), path) for path, methods in described.items() for method in methods}


def test_every_route_exists():
    known = routes()
    for page in EXAMPLES:
        for method, path in re.findall(r"`(GET|POST|DELETE) (/\S+?)`", text_of_page(page)):
            assert (method, path) in known, page
        for path in (span for span in spans(page) if re.fullmatch(r"/[a-z_/]+", span)):
            assert path in {found for _, found in known}, page


def is_variable(name: str, tree: type[BaseModel]) -> bool:
    """Whether an environment variable names a setting."""
    node: Any = tree
    for part in name.removeprefix("CHATCHAT_").lower().split("__"):
        if isinstance(node, type) and issubclass(node, BaseModel):
            if part not in node.model_fields:
                return False
            node = node.model_fields[part].annotation
        else:  # the key of a mapping
            (_, node) = node.__args__
    return True


@each_page
def test_every_command_can_be_given(page: str):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for words in commands(page):
        match list(dropwhile(re.compile("[A-Z_]+=").match, words)):
            case ["make", target]:
                assert target in targets
            case ["python", "startup.py", *flags]:
                parser().parse_args(flags)
            case ["python", "init_database.py", *flags]:
                init_database.parser().parse_args(flags)
            case ["python", "-m", "services.evaluation", *flags]:
                evaluation.parser().parse_args(flags)
            case ["curl", *_] | []:
                assert page in {"ask-over-http", "switch-a-model"}  # their commands have tests of their own
            case _:
                pytest.fail(f"no test knows the command {words}")


@each_page
def test_every_variable_is_a_setting(page: str):
    tree = example(page).WithPreview if page == "add-a-setting" else Settings
    named = set(re.findall(r"CHATCHAT_[A-Z0-9_]+", text_of_page(page))) - {"CHATCHAT_CONFIG_DIR"}
    assert [name for name in named if not is_variable(name, tree)] == []
    assert not is_variable("CHATCHAT_SERVER__API__PROT", Settings)


@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("add-a-loader", "services/api/knowledge/loaders/"),
        ("add-a-splitter", "services/api/knowledge/splitters/"),
        ("add-an-engine", "services/worker/engines/"),
    ],
)
def test_the_line_of_the_table_leads_to_the_example(page: str, table: str):
    (line,) = re.findall(r'`"[\w.]+": "(\w+):(\w+)",`', text_of_page(page))
    assert f"{table}{line[0]}.py" in MADE & set(spans(page))
    assert hasattr(example(page), line[1])
