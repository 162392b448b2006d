"""How the server reads a request: gunicorn's parser, told when an answer must be the connection's last."""

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
"""RFC 9112, 3.2, without the comma: two hosts that something on the way has joined are not one."""
_TARGET = re.compile(rf"/.*|\*|https?://(?=[^/?:])(?:{_URI_HOST})(?::[0-9]*)?(?:[/?].*)?", re.ASCII | re.IGNORECASE)
HTTP_1_1 = (1, 1)


class ClosingRequest(Request):  # type: ignore[misc]
    """A request read as RFC 9112 has it, that says when the connection must close after it.

    That is also when the server stops, or when its body is not read. gunicorn asks this when an answer's headers are
    written, so a stop that comes while a request is computed is announced in time. It asks again afterwards: what was
    announced holds, since the client may have sent its next request.
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
        # `http://host` is `http://host/` (RFC 9112, 3.2.2); routing would redirect there, with the host that was sent.
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
        # After CONNECT comes no other request, whatever the answer was.
        if self.method == "CONNECT":
            return True
        return self.version < HTTP_1_1 and "keep-alive" not in options

    def _has_unread_body(self) -> bool:
        """Whether some of the body has not even arrived: waiting for it would cost a thread."""
        reader = self.body.reader
        if isinstance(reader, LengthReader):
            return bool(reader.length > self.unreader.buf.tell())
        return isinstance(reader, ChunkedReader) and reader.parser is not None


def parser_for(cfg: Any, stopping: Callable[[], bool]) -> Callable[[Any, Any], RequestParser]:
    """What makes a connection's parser; `stopping` tells whether the server stops."""
    kind = type("Request", (ClosingRequest,), {"stopping": staticmethod(stopping)})

    def make(sock: Any, client: Any) -> RequestParser:
        parser = RequestParser(cfg, sock, client)
        parser.mesg_class = kind
        return parser

    return make
