"""The client's address behind proxies: `X-Forwarded-For` and `X-Forwarded-Proto` of trusted proxies."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from alert_refresh.networks import Network

    Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORT = r"(?::[0-9]{1,5})?"
_ENTRY = re.compile(rf"\[([0-9A-Fa-f:.]+)(?:%[^\]]*)?\]{_PORT}|([0-9.]+){_PORT}|([0-9A-Fa-f.]*:[0-9A-Fa-f:.]+)(?:%.*)?")
"""`[::1]` or `[::1]:80`, `1.2.3.4` or `1.2.3.4:80`, `::1`; an IPv6 zone is local to the sender and is dropped."""


def address(text: str) -> Address | None:
    """Parse an address with or without a port; None if it is malformed. An IPv4-mapped address becomes IPv4."""
    found = _ENTRY.fullmatch(text.strip(" \t"))
    try:
        one = ipaddress.ip_address(next(filter(None, found.groups()))) if found else None
    except ValueError:
        return None
    return getattr(one, "ipv4_mapped", None) or one


class TrustedProxies:
    """WSGI middleware that sets the client's address and scheme from the headers of trusted proxies.

    `networks` are the addresses of the proxies. A peer on a Unix socket has no address and is trusted.
    """

    def __init__(self, app: Wsgi, networks: tuple[Network, ...]) -> None:
        self._app = app
        self._networks = networks

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        peer = environ.get("REMOTE_ADDR", "")
        if self._trusts(peer):
            environ["REMOTE_ADDR"] = self.client(peer, environ.get("HTTP_X_FORWARDED_FOR", ""))
            scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip(" \t").lower()
            if scheme in ("http", "https"):
                environ["wsgi.url_scheme"] = scheme
        return self._app(environ, start_response)

    def client(self, peer: str, forwarded: str) -> str:
        """The right-most entry of `forwarded` that is not a proxy; a malformed entry ends the search.

        If all are proxies it is the left-most entry, and without entries it is `peer`.
        """
        client = peer
        for entry in reversed(forwarded.split(",")):
            found = address(entry)
            if found is None:
                break
            client = str(found)
            if not self._trusts(client):
                break
        return client

    def _trusts(self, peer: str) -> bool:
        if not peer:
            return True
        found = address(peer)
        return found is not None and any(found in network for network in self._networks)
