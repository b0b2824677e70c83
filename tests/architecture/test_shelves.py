"""Law 2: one variant is one file and one line. Every line of every table leads to a class that keeps the protocol."""

from __future__ import annotations

import ast
import importlib
import inspect
import typing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import get_protocol_members, is_protocol

from services.foundation.errors import MissingPackage
from services.foundation.registry import Registry
from services.worker.engines.base import ChatEngine, EmbeddingEngine, RerankEngine, ServerEngine
from tests.architecture.sources import ROOT, product

SHELVES = {"ENGINES", "LOADERS", "MEMORIES", "SPLITTERS", "STRATEGIES", "TEXT_INDEXES", "VECTOR_STORES"}


@cache
def shelves() -> dict[str, tuple[Registry[Any], type]]:
    """Every module-level `NAME: Registry[Protocol] = Registry(…)`: name → table and protocol."""
    found = {}
    for source in product():
        for node in source.tree.body:
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation).startswith("Registry["):
                module = importlib.import_module(source.path.removesuffix("/__init__.py").replace("/", "."))
                name = ast.unparse(node.target)
                (protocol,) = typing.get_args(typing.get_type_hints(module)[name])
                found[name] = (getattr(module, name), protocol)
    return found


def lines() -> list[tuple[str, str]]:
    return [(shelf, name) for shelf, (table, _) in sorted(shelves().items()) for name in table]


def resolved(shelf: str, name: str) -> type:
    table, _ = shelves()[shelf]
    try:
        return typing.cast("type", table.load(name))
    except MissingPackage as absent:
        pytest.skip(str(absent))


def parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_the_walk_finds_every_shelf():
    assert set(shelves()) == SHELVES
    assert all(is_protocol(protocol) for _, protocol in shelves().values())


def test_no_table_is_built_anywhere_else():
    built = [source.at(call) for source in product() for call in source.calls() if ast.unparse(call.func) == "Registry"]
    assert len(built) == len(SHELVES)


@pytest.mark.parametrize("shelf", sorted(SHELVES))
def test_a_table_is_alphabetical(shelf: str):
    names = list(shelves()[shelf][0]._table)
    assert names == sorted(names)


@pytest.mark.parametrize(("shelf", "name"), lines())
def test_a_line_leads_to_a_class_that_keeps_the_protocol(shelf: str, name: str):
    variant, protocol = resolved(shelf, name), shelves()[shelf][1]
    assert inspect.isclass(variant)
    for member in get_protocol_members(protocol):
        asked, given = getattr(protocol, member, None), getattr(variant, member, None)
        assert given is not None, f"{variant.__name__} has no {member}"
        if inspect.isfunction(asked):
            assert parameters(given) == parameters(asked), member
            assert inspect.iscoroutinefunction(given) == inspect.iscoroutinefunction(asked), member


@pytest.mark.parametrize("name", list(shelves()["ENGINES"][0]))
def test_an_engine_does_something(name: str):
    engine = resolved("ENGINES", name)
    does = [task for task in (ChatEngine, EmbeddingEngine, RerankEngine) if issubclass(engine, task)]
    serves = all(hasattr(engine, member) for member in get_protocol_members(ServerEngine))
    assert does or serves


@pytest.mark.parametrize("name", list(shelves()["LOADERS"][0]))
def test_a_loader_names_the_extension_it_stands_under(name: str):
    assert name in resolved("LOADERS", name).extensions  # type: ignore[attr-defined]


def test_a_variant_lives_beside_its_table():
    for table, _ in shelves().values():
        folder = ROOT / Path(*table.package.split("."))
        for name in table:
            path = folder / Path(*table._table[name].partition(":")[0].split("."))
            assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), name
