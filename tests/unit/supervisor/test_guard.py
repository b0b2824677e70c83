"""What the guard believes is left."""

from __future__ import annotations

from services.supervisor.guard import remaining_groups


def test_groups_that_were_added_and_not_removed_remain():
    assert remaining_groups(["+12\n", "+13\n", "-12\n", "-99\n"]) == {13}
    assert remaining_groups([]) == set()
