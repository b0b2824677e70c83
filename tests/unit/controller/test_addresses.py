"""Which addresses may register."""

from __future__ import annotations

import pytest

from services.controller.addresses import AllowedAddresses
from services.foundation.errors import Forbidden, InvalidRequest

ALLOWED = AllowedAddresses(["127.0.0.1", "localhost", "::1", "10.1.0.0/16", "Worker-A", "fd00::/8"])


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:20002",
        "http://localhost:20002",
        "http://LOCALHOST:20002",
        "http://[::1]:20002",
        "http://[::ffff:127.0.0.1]:20002",
        "http://10.1.255.3:1",
        "https://worker-a:8443/base",
        "http://[fd12::1]:9",
    ],
)
def test_a_listed_host_passes(url):
    assert ALLOWED.check(url) == url


def test_the_trailing_slash_is_dropped():
    assert ALLOWED.check("http://localhost:1/") == "http://localhost:1"


@pytest.mark.parametrize(
    "url",
    [
        "http://evil:9",
        "http://10.2.0.1:1",
        "http://127.0.0.2:1",
        "http://0.0.0.0:1",
        "http://127.1:1",
        "http://2130706433:1",
        "http://0x7f.0.0.1:1",
        "http://localhost.evil.tld:1",
        "http://localhost%00.evil:1",
        "http://[::2]:1",
        "http://169.254.169.254",
    ],
)
def test_any_other_host_is_forbidden(url):
    with pytest.raises(Forbidden):
        ALLOWED.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:20002",
        "ftp://localhost:1",
        "file:///etc/passwd",
        "http://",
        "http://evil@localhost:1",
        "http://localhost:1@evil",
        "http://localhost:99999",
        "http://localhost:0",
        "http://localhost:1/?x=http://evil",
        "http://localhost:1/#x",
        "http://[::1:1",
        "http://localhost:1/\r\nHost: evil",
        "http://local host:1",
    ],
)
def test_what_is_no_plain_address_is_refused(url):
    with pytest.raises(InvalidRequest, match="worker_name"):
        ALLOWED.check(url)


def test_an_empty_list_allows_nobody():
    with pytest.raises(Forbidden):
        AllowedAddresses([]).check("http://127.0.0.1:1")


def test_a_supervisor_lives_where_workers_may():
    assert ALLOWED.check_supervisor("http://10.1.0.9:20009/") == "http://10.1.0.9:20009"
    with pytest.raises(Forbidden, match="A supervisor at 'evil'"):
        ALLOWED.check_supervisor("http://evil:9")
    with pytest.raises(InvalidRequest, match="supervisor"):
        ALLOWED.check_supervisor("file:///etc/passwd")
