"""Where a daemon is, as ALERT_REFRESH_URL or ALERT_REFRESH_BIND say it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

from alert_refresh import address, mistakes

PORTS = {"http": 80, "https": 443}
SAFE = "/%:@!$&'()*+,;=~"
"""Characters of a path that are sent as they are written."""
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound
"""What a server may listen on and no client can connect to, and where this machine itself reaches it."""
EXPECTED = "write http://HOST:PORT, https://HOST/PREFIX/ or unix:/PATH"


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """The address of a daemon: `socket` is the path of its Unix socket, or `host` and `port` name it.

    `prefix` goes before every path, without a slash at its end, such as `/alert-refresh`.
    """

    host: str = ""
    port: int = 0
    tls: bool = False
    prefix: str = ""
    socket: str = ""

    @property
    def local(self) -> bool:
        """Whether it leads to this machine only."""
        return bool(self.socket) or address.Address(self.host, self.port).loopback

    def __str__(self) -> str:
        """The address without the prefix, which may be a secret."""
        if self.socket:
            return f"unix:{self.socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{host}" if self.port == PORTS[scheme] else f"{scheme}://{host}:{self.port}"


def parse(text: str) -> ServerUrl:
    """Read a URL, or an address as ALERT_REFRESH_BIND has it: `HOST:PORT` or `unix:/PATH`.

    Raises:
        ValueError: malformed; the message says what is expected, and holds no part of the text.
    """
    if fault := mistakes.around(text) or mistakes.within(text):
        raise ValueError(fault)
    if text.startswith("unix:") or "://" not in text:
        return _bound(text)
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(f"is not a valid URL; {EXPECTED}") from None
    if url.scheme not in PORTS:
        raise ValueError(f"has a scheme that is neither http nor https; {EXPECTED}")
    if not url.hostname:
        raise ValueError(f"has no host; {EXPECTED}")
    if fault := _fault(url):
        raise ValueError(fault)
    host = url.hostname.replace("%25", "%")  # the zone of a link-local address
    prefix = quote(url.path.rstrip("/"), safe=SAFE)
    return ServerUrl(host, PORTS[url.scheme] if port is None else port, url.scheme == "https", prefix)


def _fault(url: SplitResult) -> str | None:
    """What a URL may not have here."""
    if url.username is not None or url.password is not None:
        return "holds user info; a token belongs into the file that ALERT_REFRESH_CLIENT_TOKEN_FILE names"
    if url.query or url.fragment:
        return "has a query or a fragment; write it without"
    if url.port == 0:
        return "has the port 0, on which nothing listens"
    return "has a blank; write %20 in its place" if " " in url.netloc + url.path else None


def _bound(text: str) -> ServerUrl:
    """The address of a daemon of this machine that listens there."""
    try:
        found = address.parse(text)
    except ValueError:
        raise ValueError(f"is not a valid URL; {EXPECTED}") from None
    if found.unix:
        return ServerUrl(socket=found.host)
    if found.port == 0:
        raise ValueError(
            "has the port 0: the operating system chose one, which the daemon logged when it began to serve"
        )
    return ServerUrl(EVERY_ADDRESS.get(found.host, found.host), found.port)
