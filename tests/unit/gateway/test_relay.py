"""Streams are cut between events only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.relay import cut


def test_whole_events_pass_and_the_beginning_of_the_next_waits():
    assert cut(b"data: 1\n\ndata: 2\r\n\r\nda") == (b"data: 1\n\ndata: 2\r\n\r\n", b"da")
    assert cut(b"data: 1\n") == (b"", b"data: 1\n")
    assert cut(b"data: 1\n\n") == (b"data: 1\n\n", b"")


def test_an_event_without_end_is_not_held_for_ever():
    endless = b"x" * 4_000_001
    assert cut(endless) == (endless, b"")


@given(st.lists(st.sampled_from([b"data: x", b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b": ping"]), max_size=12))
def test_every_byte_passes_in_order(chunks):
    passed, held = b"", b""
    for chunk in chunks:
        ready, held = cut(held + chunk)
        passed += ready
    assert passed + held == b"".join(chunks)
