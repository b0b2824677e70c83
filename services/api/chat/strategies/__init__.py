"""The shelf of answering strategies: how passages become an answer. One file per strategy, one line here."""

from services.api.chat.strategies.base import Strategy
from services.foundation.registry import Registry

STRATEGIES: Registry[Strategy] = Registry(
    "answering strategy",
    __name__,
    {
        "auto": "auto:Auto",
        "map_reduce": "map_reduce:MapReduce",
        "map_rerank": "map_rerank:MapRerank",
        "refine": "refine:Refine",
        "stuff": "stuff:Stuff",
    },
)
