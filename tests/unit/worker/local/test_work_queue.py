"""Which texts go together, and who goes first."""

from __future__ import annotations

from services.worker.engines.local.work_queue import PATIENCE, BatchLimits, Piece, Ticket, Work, WorkQueue

LIMITS = BatchLimits(texts=4, tokens=400)


def ticket(*lengths: int, kind: str = "passage") -> Ticket[str, str]:
    return Ticket(kind, [Work(f"{length}-{place}", length) for place, length in enumerate(lengths)])


def queue(*tickets: Ticket[str, str]) -> WorkQueue[str, str]:
    made = WorkQueue[str, str]()
    for each in tickets:
        made.put(each)
    return made


def lengths(batch: list[Piece[str, str]]) -> list[int]:
    return [piece.work.tokens for piece in batch]


def test_texts_of_several_requests_share_a_batch():
    first, second, third = ticket(40), ticket(50), ticket(60)

    batch = queue(first, second, third).take(LIMITS)

    assert {id(piece.ticket) for piece in batch} == {id(first), id(second), id(third)}


def test_a_batch_has_no_more_texts_and_no_more_padded_tokens_than_the_limits():
    many = queue(ticket(*[10] * 10))
    assert lengths(many.take(LIMITS)) == [10] * 4

    long = queue(ticket(*[150] * 5))
    assert lengths(long.take(LIMITS)) == [150, 150], "three of them would be 450 tokens"


def test_a_text_longer_than_the_limit_goes_alone():
    waiting = queue(ticket(1000, 990))

    assert lengths(waiting.take(LIMITS)) == [990]
    assert lengths(waiting.take(LIMITS)) == [1000]


def test_only_texts_of_like_length_share_a_batch():
    waiting = queue(ticket(20, 90, 190))

    assert [lengths(waiting.take(LIMITS)) for _ in range(3)] == [[20], [90], [190]]


def test_short_texts_count_as_alike():
    assert lengths(queue(ticket(3, 64, 20)).take(LIMITS)) == [3, 20, 64]


def test_texts_of_another_kind_wait():
    waiting = queue(ticket(40, kind="query"), ticket(40, kind="passage"))

    assert [len(waiting.take(LIMITS)) for _ in range(3)] == [1, 1, 0]


def test_a_question_goes_before_an_upload_and_is_not_filled_up_with_it():
    upload, question = ticket(*[60] * 100), ticket(50)
    waiting = queue(upload, question)

    batch = waiting.take(LIMITS)

    assert [piece.ticket for piece in batch] == [question]
    assert waiting.take(LIMITS)[0].ticket is upload


def test_the_oldest_request_is_not_passed_over_for_ever():
    upload = ticket(*[60] * 100)
    waiting = queue(upload)

    leaders = []
    for _ in range(2 * (PATIENCE + 1)):
        waiting.put(ticket(50))
        leaders.append(waiting.take(LIMITS)[0].ticket is upload)

    assert leaders == [False, False, False, True] * 2


def test_a_request_that_has_begun_ends_before_its_like_begins():
    first, second = ticket(*[100] * 8), ticket(*[100] * 8)
    waiting = queue(first, second)

    served = [waiting.take(LIMITS)[0].ticket for _ in range(4)]

    assert served == [first, first, second, second]


def test_the_rest_of_an_upload_is_filled_up_with_another():
    first, second = ticket(*[80] * 6), ticket(*[80] * 6)
    waiting = queue(first, second)
    waiting.take(LIMITS)

    assert [piece.ticket for piece in waiting.take(LIMITS)] == [first, first, second, second]


def test_what_nobody_waits_for_any_more_is_dropped():
    gone, failed, kept = ticket(40), ticket(40), ticket(40)
    waiting = queue(gone, failed, kept)
    gone.outcome.cancel()
    failed.fail(RuntimeError())

    assert [piece.ticket for piece in waiting.take(LIMITS)] == [kept]
    assert waiting.take(LIMITS) == []


def test_results_come_in_the_order_of_the_texts():
    asked = ticket(90, 20, 50)
    waiting = queue(asked)

    while batch := waiting.take(LIMITS):
        for piece in batch:
            asked.settle(piece.place, piece.work.payload.upper())

    assert asked.outcome.result() == ["90-0", "20-1", "50-2"]


def test_a_result_for_a_caller_who_has_left_is_no_failure():
    asked = ticket(20)
    asked.outcome.cancel()

    asked.settle(0, "late")
    asked.fail(RuntimeError())

    assert asked.outcome.cancelled()
