"""How long is waited before the next start."""

from __future__ import annotations

import pytest

from services.foundation.settings.tree import Server
from services.supervisor.keeper import Policy, backoff_seconds


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0.0), (1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (1000, 30.0)])
def test_back_off_doubles_to_its_limit(failures, seconds):
    assert backoff_seconds(Policy(), failures) == seconds


def test_waits_are_configured():
    policy = Policy.of(Server(start_timeout_seconds=7, stop_grace_seconds=3))
    assert (policy.start_timeout_seconds, policy.stop_grace_seconds) == (7, 3)
