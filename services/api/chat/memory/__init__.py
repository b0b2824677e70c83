"""The shelf of memories: what of the earlier messages a model is shown. One file per memory, one line here."""

from services.api.chat.memory.base import Memory
from services.foundation.registry import Registry

MEMORIES: Registry[Memory] = Registry(
    "memory",
    __name__,
    {
        "running_summary": "running_summary:RunningSummary",
        "token_budget": "token_budget:TokenBudget",
        "window": "window:Window",
    },
)
