"""Where a text index may lie. `bootstrap` says it; each variant takes what it needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Site:
    """What lies beside the text index.

    Attributes:
        folder: of everything that is kept.
        database_url: of the metadata database.
    """

    folder: Path
    database_url: str

    @property
    def database_file(self) -> Path:
        """The SQLite database in the folder, where the metadata lie unless another place is configured."""
        return self.folder / "info.db"
