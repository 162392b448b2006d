"""Parsing requests: gunicorn's parser with stricter checks, and when the connection must close."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.errors import InvalidHeader, InvalidRequestLine
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser

if TYPE_CHECKING:
    from collections.abc import Callable


_URI_HOST = r"\[[0-9A-Fa-f:.]+\]|\[v[0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:-]+\]|(?:[\w.~!$&'()*+;=-]|%[0-9A-Fa-f]{2})*"
_HOST = re.compile(rf"(?:{_URI_HOST})(?::[0-9]*)?", re.ASCII)
"""RFC 9112, 3.2, without the comma, with which an intermediary joins two Host headers."""
_TARGET = re.compile(rf"/.*|\*|https?://(?=[^/?:])(?:{_URI_HOST})(?::[0-9]*)?(?:[/?].*)?", re.ASCII | re.IGNORECASE)
HTTP_1_1 = (1, 1)


class ClosingRequest(Request):  # type: ignore[misc]  # gunicorn has no types
    """A request parsed as RFC 9112 requires, and whether the connection must close after it.

    It also closes when the server is stopping or a part of the body has not been read. gunicorn calls `should_close`
    when it writes the headers, so that a stop during the request is still announced, and once more afterwards. The
    first result is kept, since the client may already have sent its next request.
    """

    stopping: Callable[[], bool]
    _closes: bool | None = None
    version: tuple[int, int]
    path: str

    def parse(self, unreader: Any) -> bytes:
        """Raises:
        ParseException: it is not valid.
        """
        rest: bytes = super().parse(unreader)
        hosts = [value for name, value in self.headers if name == "HOST"]
        if not all(map(_HOST.fullmatch, hosts)) or (not hosts and self.version >= HTTP_1_1):
            raise InvalidHeader("HOST", req=self)
        if self.method != "CONNECT" and not _TARGET.fullmatch(self.uri):
            raise InvalidRequestLine(self.uri)
        # `http://host` is `http://host/` (RFC 9112, 3.2.2); routing would redirect to it, using the host of the client.
        self.path = self.path or "/"
        # The answer's version is the request's, and a client of a later 1.x understands 1.1 (RFC 9110, 6.2).
        self.version = min(self.version, HTTP_1_1)
        return rest

    def should_close(self) -> bool:
        if self._closes is None:
            self._closes = self._must_close()
        return self._closes

    def _must_close(self) -> bool:
        fields = ",".join(value for name, value in self.headers if name == "CONNECTION")
        options = [option.strip(" \t").lower() for option in fields.split(",")]
        if "close" in options or self.must_close or self.stopping() or self._has_unread_body():
            return True
        # No other request can follow CONNECT.
        if self.method == "CONNECT":
            return True
        return self.version < HTTP_1_1 and "keep-alive" not in options

    def _has_unread_body(self) -> bool:
        """Whether a part of the body has not arrived: waiting for it would occupy a thread."""
        reader = self.body.reader
        if isinstance(reader, LengthReader):
            return bool(reader.length > self.unreader.buf.tell())
        return isinstance(reader, ChunkedReader) and reader.parser is not None


def parser_for(cfg: Any, stopping: Callable[[], bool]) -> Callable[[Any, Any], RequestParser]:
    """A factory of parsers, one for each connection; `stopping()` returns whether the server is stopping."""
    kind = type("Request", (ClosingRequest,), {"stopping": staticmethod(stopping)})

    def make(sock: Any, client: Any) -> RequestParser:
        parser = RequestParser(cfg, sock, client)
        parser.mesg_class = kind
        return parser

    return make
