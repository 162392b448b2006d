"""How the server reads a request: gunicorn's parser, told when an answer must be the connection's last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser

if TYPE_CHECKING:
    from collections.abc import Callable


class ClosingRequest(Request):  # type: ignore[misc]
    """A request that also asks for the connection to close when the server stops, or when its body is not read.

    gunicorn asks this when an answer's headers are written, so a stop that comes while a request is computed
    is announced in time.
    """

    stopping: Callable[[], bool]

    def should_close(self) -> bool:
        return self.stopping() or self._has_unread_body() or bool(super().should_close())

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
