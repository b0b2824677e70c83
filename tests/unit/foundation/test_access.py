"""Signed links: bound to a path, a query and a time; nothing else opens by them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from services.foundation.access import LINK_SECONDS, AccessCheck, LinkSigner
from services.foundation.errors import Unauthenticated

KEY = SecretStr("a-long-key-of-the-stack")
URL = "http://api:7861/knowledge_base/download_doc?knowledge_base_name=%E5%AD%A3%E6%8A%A5&file_name=a+b.pdf#page=2"


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


def parts(url: str) -> tuple[str, str]:
    split = urlsplit(url)
    return split.path, split.query


def test_a_signed_link_keeps_its_place_in_the_file_and_is_valid_until_it_expires() -> None:
    clock = Clock()
    signer = LinkSigner(KEY, clock)
    signed = signer.sign(URL)
    assert signed.endswith("#page=2")
    assert signer.is_valid(*parts(signed))
    clock.seconds += LINK_SECONDS + 1
    assert not signer.is_valid(*parts(signed))


def test_signing_again_renews_instead_of_adding() -> None:
    clock = Clock()
    signer = LinkSigner(KEY, clock)
    old = signer.sign(URL)
    clock.seconds += LINK_SECONDS + 1
    renewed = signer.sign(old)
    assert signer.is_valid(*parts(renewed))
    assert renewed.count("signature=") == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a+b.pdf", "c.pdf"),
        ("download_doc", "files"),
        ("expires=1", "expires=9"),
        ("signature=", "signature=0"),
        ("&expires=", "&more=1&expires="),
        ("&signature=", "&signature=x&signature="),
    ],
)
def test_a_link_that_was_changed_is_not_valid(old: str, new: str) -> None:
    signer = LinkSigner(KEY, Clock())
    signed = signer.sign(URL)
    assert old in signed
    assert not signer.is_valid(*parts(signed.replace(old, new, 1)))


@pytest.mark.parametrize(
    "query", ["", "expires=9999999999", "signature=ab", "expires=²&signature=a", "expires=-1&signature=é"]
)
def test_a_query_without_a_signature_is_not_valid(query: str) -> None:
    assert not LinkSigner(KEY, Clock()).is_valid("/knowledge_base/download_doc", query)


def test_what_a_proxy_takes_away_from_the_path_is_not_signed() -> None:
    signer = LinkSigner(KEY, Clock())
    signed = signer.sign("https://kb.example/chat/knowledge_base/download_doc?file_name=a", root="/chat")
    path, query = parts(signed)
    assert signer.is_valid(path.removeprefix("/chat"), query)


def test_a_signed_link_opens_for_reading_only_and_by_the_stacks_own_keys_only() -> None:
    check = AccessCheck([SecretStr("another-key-of-the-stack"), KEY])
    path, query = parts(LinkSigner(KEY).sign(URL))
    check.check(path, {}, query=query, method="GET")
    for wrong in ({"query": query, "method": "POST"}, {"query": "", "method": "GET"}):
        with pytest.raises(Unauthenticated):
            check.check(path, {}, **wrong)
    foreign = parts(LinkSigner(SecretStr("a-key-nobody-configured")).sign(URL))[1]
    with pytest.raises(Unauthenticated):
        check.check(path, {}, query=foreign, method="GET")
