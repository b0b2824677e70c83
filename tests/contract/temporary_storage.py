"""What every Storage must do with bases that expire."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from services.api.domain.knowledge import KnowledgeBase, KnowledgeBaseId
from services.api.domain.names import KnowledgeBaseName
from tests.contract.storage import MOMENT, make_base


def make_temporary(digit: str = "e") -> KnowledgeBase:
    """A temporary base that expires at MOMENT."""
    return dataclasses.replace(make_base("x", digit), name=KnowledgeBaseName("." + digit * 32), expires_at=MOMENT)


class TemporaryStorageContract:
    """Inherit it beside StorageContract, whose fixtures it uses."""

    async def test_a_temporary_base_is_listed_apart(self, storage, base):
        expiring = make_temporary()
        async with storage.begin() as work:
            await work.knowledge_bases.add(expiring)
        async with storage.begin() as work:
            assert await work.knowledge_bases.all() == [base]
            assert await work.knowledge_bases.temporary() == [expiring]
            assert await work.knowledge_bases.get(expiring.name) == expiring

    async def test_what_has_not_expired_can_be_renewed(self, storage, base):
        expiring = make_temporary()
        later = MOMENT + timedelta(minutes=5)
        async with storage.begin() as work:
            await work.knowledge_bases.add(expiring)
        async with storage.begin() as work:
            renewed = await work.knowledge_bases.renew(expiring.id, now=MOMENT - timedelta(microseconds=1), until=later)
            assert renewed == dataclasses.replace(expiring, expires_at=later)
            assert await work.knowledge_bases.get(expiring.name) == renewed
        async with storage.begin() as work:
            assert await work.knowledge_bases.temporary() == [renewed]
            assert await work.knowledge_bases.renew(base.id, now=MOMENT, until=later) is None
            assert await work.knowledge_bases.renew(KnowledgeBaseId("f" * 32), now=MOMENT, until=later) is None
            assert await work.knowledge_bases.all() == [base]

    async def test_what_has_expired_stays_expired(self, storage):
        expiring = make_temporary()
        async with storage.begin() as work:
            await work.knowledge_bases.add(expiring)
        async with storage.begin() as work:
            assert await work.knowledge_bases.renew(expiring.id, now=MOMENT, until=MOMENT + timedelta(days=1)) is None
            assert await work.knowledge_bases.temporary() == [expiring]

    async def test_an_update_leaves_the_renewal_that_came_between(self, storage):
        expiring, later = make_temporary(), MOMENT + timedelta(minutes=5)
        async with storage.begin() as work:
            await work.knowledge_bases.add(expiring)
        async with storage.begin() as work:
            await work.knowledge_bases.renew(expiring.id, now=MOMENT - timedelta(minutes=1), until=later)
        async with storage.begin() as work:
            await work.knowledge_bases.update(dataclasses.replace(expiring, dimensions=384))
        async with storage.begin() as work:
            known = await work.knowledge_bases.get(expiring.name)
        assert known == dataclasses.replace(expiring, dimensions=384, expires_at=later)
