"""A shelf's table: name → class, imported on demand. Every shelf's `__init__` holds one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

from services.foundation.errors import MissingPackage, UnknownVariant

T = TypeVar("T")


class Registry(Generic[T]):
    """The variants of one replaceable thing.

    Attributes:
        shelf: what the variants are, as a person calls it ("vector store").
        package: the package the targets are relative to.
    """

    def __init__(self, shelf: str, package: str, table: Mapping[str, str]) -> None:
        self.shelf = shelf
        self.package = package
        self._table = dict(table)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._table))

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def load(self, name: str) -> type[T]:
        """Import the class that stands under `name`.

        Raises:
            UnknownVariant: nothing stands under that name; the message lists what does.
            MissingPackage: the variant's module needs a package that is not installed.
        """
        target = self._table.get(name)
        if target is None:
            raise UnknownVariant(shelf=self.shelf, name=name, known=", ".join(self))
        module_name, _, class_name = target.partition(":")
        try:
            module = importlib.import_module(f"{self.package}.{module_name}")
        except ModuleNotFoundError as absent:
            if absent.name is None or absent.name.startswith(("services", "webui")):
                raise
            raise MissingPackage(shelf=self.shelf, name=name, package=absent.name) from absent
        return cast("type[T]", getattr(module, class_name))

    def build(self, name: str, *args: Any, **kwargs: Any) -> T:
        """Import the class under `name` and construct it."""
        return self.load(name)(*args, **kwargs)
