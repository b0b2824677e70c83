"""Which addresses a worker or its supervisor may have: parsed, and compared with the list. Nothing is resolved."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from services.foundation.errors import Forbidden, InvalidRequest

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def worker_url(given: str, field: str = "worker_name") -> str:
    """The base URL of a worker without its trailing slash.

    Args:
        given: what a message holds.
        field: where it holds it.

    Raises:
        InvalidRequest: it is not a plain http(s) address.
    """
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError as failure:
        raise InvalidRequest(field=field, reason="it is not a URL") from failure
    plain = parts.scheme in {"http", "https"} and parts.hostname and not (parts.query or parts.fragment)
    if not plain or parts.username is not None or port == 0 or not given.isprintable() or " " in given:
        raise InvalidRequest(field=field, reason="it must look like http://host:port")
    return given.rstrip("/")


class AllowedAddresses:
    """The hosts workers and their supervisors may live on.

    Args:
        entries: host names, addresses, or networks such as 10.0.0.0/8. A name matches only itself: names are never
            resolved, since a registration must not make the controller ask anyone.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._networks: list[_Network] = []
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._names.add(entry.strip().lower())

    def check(self, url: str) -> str:
        """Let the address of a worker pass, normalised, or raise.

        Raises:
            InvalidRequest: it is not a plain http(s) address.
            Forbidden: its host is not on the list.
        """
        return self._checked(worker_url(url), "worker")

    def check_supervisor(self, url: str) -> str:
        """`check` for the address of the supervisor that a worker names."""
        return self._checked(worker_url(url, "worker_status.supervisor"), "supervisor")

    def _checked(self, url: str, who: str) -> str:
        host = (urlsplit(url).hostname or "").lower()
        if not self._holds(host):
            raise Forbidden(what=f"A {who} at {host!r}", reason="the host is not in server.worker_addresses")
        return url

    def _holds(self, host: str) -> bool:
        address = _address(host)
        if address is None:
            return host in self._names
        return any(address in network for network in self._networks if network.version == address.version)


def _address(host: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
