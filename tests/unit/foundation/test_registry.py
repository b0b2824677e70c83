"""A shelf's table: listing, importing on demand, and the two ways a name can fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from services.foundation.errors import MissingPackage, UnknownVariant
from services.foundation.registry import Registry

PACKAGE = "shelf_for_tests"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[object]:
    folder = tmp_path / PACKAGE
    (folder / "inner").mkdir(parents=True)
    for path, text in {
        "__init__.py": "",
        "inner/__init__.py": "",
        "good.py": "class Good:\n    def __init__(self, *a, **k): self.given = (a, k)\n",
        "inner/deep.py": "class Deep: pass\n",
        "needs.py": "import no_such_package_anywhere\n",
        "needs_inner.py": "from no_such_package_anywhere.inner import x\n",
        "broken.py": "from services.foundation import no_such_module\n",
        "typo.py": "import services.no_such_room\n",
    }.items():
        (folder / path).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        monkeypatch.delitem(sys.modules, name)
    names = ("needs", "needs_inner", "broken", "typo", "vanished")
    table = {"good": "good:Good", "deep": "inner.deep:Deep"} | {name: f"{name}:Thing" for name in names}
    return Registry("vector store", PACKAGE, table)


def test_lists_its_names_in_order(shelf: Registry[object]):
    assert list(shelf) == ["broken", "deep", "good", "needs", "needs_inner", "typo", "vanished"]
    assert "good" in shelf
    assert "bad" not in shelf


def test_imports_on_demand(shelf: Registry[object]):
    assert f"{PACKAGE}.good" not in sys.modules
    assert shelf.load("good").__name__ == "Good"
    assert shelf.load("deep").__name__ == "Deep"


def test_builds_with_what_it_is_given(shelf: Registry[object]):
    assert vars(shelf.build("good", 1, size=2)) == {"given": ((1,), {"size": 2})}


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownVariant) as caught:
        Registry[object]("loader", "x", {"b": "b:B", "a": "a:A"}).load("c")
    assert caught.value.facts == {"shelf": "loader", "name": "c", "known": "a, b"}


@pytest.mark.parametrize("name", ["needs", "needs_inner"])
def test_a_missing_package_is_named(shelf: Registry[object], name: str):
    with pytest.raises(MissingPackage) as caught:
        shelf.load(name)
    facts = caught.value.facts
    assert (facts["shelf"], facts["name"]) == ("vector store", name)
    assert str(facts["package"]).partition(".")[0] == "no_such_package_anywhere"
    assert "pip install no_such_package_anywhere" in str(caught.value)


@pytest.mark.parametrize("name", ["broken", "typo"])
def test_a_mistake_of_our_own_is_no_missing_package(shelf: Registry[object], name: str):
    with pytest.raises(ImportError):
        shelf.load(name)


def test_changing_the_given_table_changes_nothing():
    table = {"a": "a:A"}
    registry = Registry[object]("loader", "x", table)
    table["b"] = "b:B"
    assert list(registry) == ["a"]
