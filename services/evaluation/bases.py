"""A knowledge base by its name, as the API lists it. Used by runs and calibrations."""

from __future__ import annotations

from services.clients.chatchat import ChatchatClient
from services.foundation.errors import KnowledgeBaseNotFound
from services.wire.chatchat import KnowledgeBaseDetails


def details_of(client: ChatchatClient, name: str) -> KnowledgeBaseDetails:
    """The base of a name; as everywhere, case does not count. Raises KnowledgeBaseNotFound, ServiceUnreachable."""
    for details in client.knowledge_bases():
        if details.name.casefold() == name.casefold():
            return details
    raise KnowledgeBaseNotFound(name=name)
