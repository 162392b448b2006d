"""One client's connection: the bytes received and unsent so far, and its deadline.

A request waits here, in the event loop, until its head and a small body have arrived completely, and so does the part
of a response that the client has not read, so that a slow client never occupies a thread.
"""

from __future__ import annotations

import fcntl
import re
import socket
import struct
import termios
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from gunicorn.http.parser import RequestParser

REQUEST_LINE_LIMIT = 8190
HEAD_LIMIT = 32 * 1024
BODY_LIMIT = 16 * 1024
"""Bytes of a body that are received before the request goes to a thread; of a longer one the application reads."""
READ_SECONDS = 10.0
"""Seconds for a complete request to arrive, counted from the connection or from its first byte."""
WRITE_SECONDS = 20.0
"""Seconds within which a client must read some of a response."""
SLOWEST = 8 * 1024
"""Bytes per second at which a client must read a long response, on average."""
UNSENT_LIMIT = 64 * 1024
"""Unsent bytes above which a thread that writes more blocks until the client reads: a streamed response."""

_BARE_LF = re.compile(rb"(?<!\r)\n")
_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding|expect)[ \t]*:[ \t]*([^\r]*)", re.IGNORECASE)
_LIVENESS = re.compile(rb"(?:GET|HEAD) /healthz(?:\?[!-~]*)? HTTP/1\.\d\r\n")
# A query with `wait` holds its thread, and one with an escape may hide it: neither gets a reserved thread.
_BRIEF = rb"(?:\?(?!\S*(?:wait|%))[!-~]*)? HTTP/1\.\d\r\n"
_LIST = re.compile(rb"(?:GET|HEAD) /api/v2/(?:publishing/targets|rules)" + _BRIEF)
_STATUS = re.compile(rb"(?:GET|HEAD) /(?:healthz|readyz|health|metrics|[!->@-~]*/status)" + _BRIEF)


class TooLong(Exception):
    """Raised when a head is longer than allowed; `status` is 414 for the request line and 431 for the rest."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class TimedSocket(socket.socket):
    """A socket whose reads share one deadline, and whose writes buffer what the kernel does not accept immediately.

    Used by one thread at a time: the one that answers, or the event loop, which sends the rest. While it is `streaming`
    writes block instead, since it may be long until the loop gets it back.
    """

    read_until = 0.0
    streaming = False
    write_seconds = WRITE_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unsent: deque[memoryview] = deque()

    @property
    def unsent(self) -> int:
        """Bytes in this buffer."""
        return sum(map(len, self._unsent))

    @property
    def outstanding(self) -> int:
        """Bytes that the client has not acknowledged: those in this buffer and in the kernel's."""
        (queued,) = struct.unpack("i", fcntl.ioctl(self, termios.TIOCOUTQ, bytes(4)))
        return self.unsent + int(queued)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        self.settimeout(max(0.001, self.read_until - time.monotonic()))
        return super().recv(size, flags)

    def send(self, data: bytes, flags: int = 0, /) -> int:  # type: ignore[override]  # gunicorn sends bytes only
        self.sendall(data, flags)
        return len(data)

    def sendall(self, data: bytes, flags: int = 0, /) -> None:  # type: ignore[override]  # as `send`
        """Send without blocking and buffer the rest; block only above `UNSENT_LIMIT` unsent bytes, and for a stream.

        Raises:
            TimeoutError: the client did not read in time.
            ConnectionError: the client disconnected.
        """
        if self.unsent > UNSENT_LIMIT:
            self._send_all(flags)
        self._unsent.append(memoryview(data))
        if self.streaming:
            self._send_all(flags)
        else:
            self.send_rest()

    def _send_all(self, flags: int) -> None:
        self.settimeout(self.write_seconds)
        while self._unsent:
            super().sendall(self._unsent.popleft(), flags)

    def send_rest(self) -> None:
        """Send as much of the buffer as possible without blocking.

        Raises:
            ConnectionError: the client disconnected.
        """
        self.settimeout(0.0)
        try:
            while self._unsent:
                sent = super().send(self._unsent[0])
                if sent < len(self._unsent[0]):
                    self._unsent[0] = self._unsent[0][sent:]
                    break
                self._unsent.popleft()
        except BlockingIOError:
            return

    def recv_available(self, size: int) -> bytes:
        """The bytes that have arrived; empty at the end of the stream.

        Raises:
            BlockingIOError: nothing has arrived.
        """
        self.settimeout(0.0)
        return super().recv(size)

    def at_end(self) -> bool | None:
        """Whether the client has disconnected; None if nothing can be read. For the loop, while a thread answers."""
        try:
            return not super().recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return True

    def reset_on_close(self) -> None:
        """Discard unsent bytes, and make `close` reset the connection."""
        self._unsent.clear()
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Connection:
    """A connection in one of four states: waiting for a request, in a thread, sending a response, or closing.

    `make_parser` creates its parser on the first request. `deadline` (monotonic) bounds every state but the second;
    `received` holds the bytes of a request that has not begun. `keep` says whether the connection may be reused,
    `took_more` whether the client has read more of a long response than was sent immediately.
    """

    initialized = data_ready = True
    is_http2 = False
    """Attributes that gunicorn's worker reads: the request has arrived, and it is HTTP/1."""

    def __init__(
        self, sock: TimedSocket, client: Any, server: Any, make_parser: Callable[[TimedSocket, Any], RequestParser]
    ) -> None:
        self.sock = sock
        self.client = client
        self.server = server
        self.deadline = time.monotonic() + READ_SECONDS
        self.received = bytearray()
        self.parser: RequestParser | None = None
        self.keep = False
        self.closing = False
        self.closed = False
        self.took_more = False
        self.drained = 0
        self._send_by = 0.0
        self._outstanding = 0
        self._make_parser = make_parser
        self._scanned = 0
        self._needed: int | None = None

    @property
    def idle(self) -> bool:
        """Whether no byte of a request has arrived."""
        return not self.received

    @property
    def is_liveness_request(self) -> bool:
        """Whether the request is for the liveness route."""
        return _LIVENESS.match(self.received) is not None

    @property
    def is_list_request(self) -> bool:
        """Whether the request is for a list of targets or rules, which may be long, and does not wait for a change."""
        return _LIST.match(self.received) is not None

    @property
    def is_status_request(self) -> bool:
        """Whether the request is a fast read of health, metrics or a status."""
        return _STATUS.match(self.received) is not None

    def add(self, data: bytes) -> bool:
        """Append received bytes; True once a thread can process the request without waiting for the client.

        A malformed request counts as complete: the parser then refuses it. Empty lines before a request are ignored
        (RFC 9112, 2.2).

        Raises:
            TooLong: the head is longer than allowed.
        """
        self.received += data
        if self._needed is None:
            while self.received.startswith(b"\r\n"):
                del self.received[:2]
                self._scanned = 0
            end = self.received.find(b"\r\n\r\n", max(0, self._scanned - 3))
            broken = _BARE_LF.search(self.received, self._scanned, len(self.received) if end < 0 else end)
            self._scanned = len(self.received)
            if broken:
                return True
            line = REQUEST_LINE_LIMIT + 4
            if len(self.received) > line and self.received.find(b"\r\n", 2, line) < 0:
                raise TooLong(414)
            if (len(self.received) if end < 0 else end) > HEAD_LIMIT:
                raise TooLong(431)
            if end < 0:
                return False
            self._needed = end + 4 + small_body(bytes(self.received[:end]))
        return len(self.received) >= self._needed

    def init(self) -> None:
        """Give the received bytes to the parser; the thread may read the rest until the deadline."""
        if self.parser is None:
            self.parser = self._make_parser(self.sock, self.client)
        self.sock.read_until = self.deadline
        self.parser.unreader.unread(bytes(self.received))
        self.received.clear()

    def begin_sending(self, stall: float) -> None:
        """Set the deadlines for the unsent part: progress within `stall` seconds, all of it at the minimum rate."""
        now = time.monotonic()
        self.took_more = False
        self._outstanding = self.sock.outstanding
        self._send_by = now + self.sock.write_seconds + self.sock.unsent / SLOWEST
        self.deadline = now + stall

    def made_progress(self, stall: float) -> bool:
        """Whether the client has read more since the last call; that extends its deadline by `stall` seconds."""
        before, self._outstanding = self._outstanding, self.sock.outstanding
        if self._outstanding >= before:
            return False
        self.took_more = True
        self.deadline = min(time.monotonic() + stall, self._send_by)
        return True

    def take_buffered(self) -> bytes:
        """Bytes of the next request that the parser has read but not used."""
        assert self.parser is not None
        self._scanned, self._needed = 0, None
        return bytes(self.parser.unreader.take_buffered())


def small_body(head: bytes) -> int:
    """Bytes of body to wait for: the content length if it is small and the only framing, else 0."""
    framing = _FRAMING.findall(head)
    if len(framing) != 1 or framing[0][0].lower() != b"content-length":
        return 0
    length = framing[0][1].strip(b" \t")
    return int(length) if re.fullmatch(rb"[0-9]{1,5}", length) and int(length) <= BODY_LIMIT else 0
