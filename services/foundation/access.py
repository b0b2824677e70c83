"""The access-key check, shared by gateway and api, and links that pass it without showing a key.

Reads `scope`, never `request.url` (a Host header can poison it).
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import SecretStr

from services.foundation.errors import Unauthenticated

OPEN_PATHS = frozenset({"/healthz"})
LINK_SECONDS = 12 * 3600
_EXPIRES, _SIGNATURE = "expires", "signature"


class LinkSigner:
    """Makes links that a browser, which can show no key, may follow for a while.

    A signature is bound to one path, its query and a time, and to this purpose: no key can be derived from it.
    """

    def __init__(self, key: SecretStr, now: Callable[[], float] = time.time) -> None:
        self._secret = hashlib.sha256(b"link\0" + key.get_secret_value().encode()).digest()
        self._now = now

    def sign(self, url: str, *, root: str = "") -> str:
        """The URL with an expiry and a signature in its query; older ones are replaced.

        Args:
            url: what is linked to.
            root: the part of its path that a proxy takes away before the service sees it.
        """
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True)
        query = [pair for pair in given if pair[0] not in {_EXPIRES, _SIGNATURE}]
        query.append((_EXPIRES, str(int(self._now()) + LINK_SECONDS)))
        signed = urlencode([*query, (_SIGNATURE, self._signature(parts.path.removeprefix(root), query))])
        return urlunsplit(parts._replace(query=signed))

    def is_valid(self, path: str, query: str) -> bool:
        """Whether the query carries a signature of ours for this path that has not expired."""
        pairs = parse_qsl(query, keep_blank_values=True)
        shown = [value for name, value in pairs if name == _SIGNATURE]
        expires = [value for name, value in pairs if name == _EXPIRES]
        if len(shown) != 1 or len(expires) != 1 or not expires[0].isdecimal() or len(expires[0]) > 12:
            return False
        expected = self._signature(path, [pair for pair in pairs if pair[0] != _SIGNATURE])
        return hmac.compare_digest(shown[0].encode(), expected.encode()) and int(expires[0]) >= self._now()

    def _signature(self, path: str, query: Sequence[tuple[str, str]]) -> str:
        signed = f"{path}?{urlencode(sorted(query))}"
        return hmac.new(self._secret, signed.encode(), hashlib.sha256).hexdigest()


class AccessCheck:
    """Compares the key a caller shows with the configured ones, in constant time; a signed link may be read too."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._digests = [_digest(key.get_secret_value()) for key in keys]
        self._signers = [LinkSigner(key) for key in keys]

    def check(self, path: str, headers: Mapping[str, str], *, query: str = "", method: str = "POST") -> None:
        """Let the caller pass or raise.

        Args:
            path: the routed path (`scope["path"]`).
            headers: request headers, names in lower case.
            query: the query string.
            method: of the request; only GET and HEAD may come by a signed link.

        Raises:
            Unauthenticated: keys are configured, the caller shows none of them, and the link is not signed.
        """
        if not self._digests or path in OPEN_PATHS:
            return
        if method in {"GET", "HEAD"} and any(signer.is_valid(path, query) for signer in self._signers):
            return
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        shown = headers.get("x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else "")
        given = _digest(shown)
        matches = [hmac.compare_digest(given, known) for known in self._digests]  # all of them: constant time
        if not any(matches):
            raise Unauthenticated


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
