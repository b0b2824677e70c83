"""The splitter shelf: how a document is cut into passages. One file per splitter, one line here."""

from services.api.domain.ports import Splitter
from services.foundation.registry import Registry

SPLITTERS: Registry[Splitter] = Registry(
    "splitter",
    __name__,
    {
        "recursive": "recursive:RecursiveSplitter",
        "sentences": "sentences:SentenceSplitter",
    },
)
