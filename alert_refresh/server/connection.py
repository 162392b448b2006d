"""One client's connection: what it has sent so far, and the time it has left.

A request waits here, in the server's loop, until its head and a small body have arrived whole, and what a client
does not take of its answer at once waits here too, so that no thread is spent on a client that is slow.
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
"""Bodies up to this are read before a thread is spent; of longer ones the application reads what it wants."""
READ_SECONDS = 10.0
"""For a request to arrive whole, counted from the connection or from its first byte."""
WRITE_SECONDS = 20.0
"""For some of an answer to be taken."""
SLOWEST = 8 * 1024
"""Bytes a second that a client must take of a long answer, on the whole."""
UNSENT_LIMIT = 64 * 1024
"""Unsent bytes beyond which a thread that writes more waits for the client: an answer in many pieces."""

_BARE_LF = re.compile(rb"(?<!\r)\n")
_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding|expect)[ \t]*:[ \t]*([^\r]*)", re.IGNORECASE)
_LIVENESS = re.compile(rb"(?:GET|HEAD) /healthz(?:\?[!-~]*)? HTTP/1\.\d\r\n")
_LIST = re.compile(rb"(?:GET|HEAD) /api/v2/(?:publishing/targets|rules)(?:\?(?!\S*wait=)[!-~]*)? HTTP/1\.\d\r\n")
_STATUS = re.compile(rb"(?:GET|HEAD) /(?:healthz|readyz|health|metrics|[!->@-~]*/status)(?:\?[!-~]*)? HTTP/1\.\d\r\n")


class TooLong(Exception):
    """Raised when a head is longer than allowed; `status` is 414 for the request line and 431 for the rest."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class TimedSocket(socket.socket):
    """A socket whose reads end at one deadline, and whose writes keep what the client does not take at once.

    One thread at a time uses it: the one that answers, or the loop, which sends the rest.
    """

    read_until = 0.0
    write_seconds = WRITE_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unsent: deque[memoryview] = deque()

    @property
    def unsent(self) -> int:
        """Bytes that are kept."""
        return sum(map(len, self._unsent))

    @property
    def outstanding(self) -> int:
        """Bytes that the client has not taken: those kept, and those in the system's buffer."""
        (queued,) = struct.unpack("i", fcntl.ioctl(self, termios.TIOCOUTQ, bytes(4)))
        return self.unsent + int(queued)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        self.settimeout(max(0.001, self.read_until - time.monotonic()))
        return super().recv(size, flags)

    def send(self, data: bytes, flags: int = 0, /) -> int:  # type: ignore[override]
        self.sendall(data, flags)
        return len(data)

    def sendall(self, data: bytes, flags: int = 0, /) -> None:  # type: ignore[override]
        """Send what the client takes now and keep the rest; wait for the client only if much is kept already.

        Raises:
            TimeoutError: the client did not take it in time.
            ConnectionError: the client is gone.
        """
        if self.unsent > UNSENT_LIMIT:
            self.settimeout(self.write_seconds)
            while self._unsent:
                super().sendall(self._unsent.popleft(), flags)
        self._unsent.append(memoryview(data))
        self.send_rest()

    def send_rest(self) -> None:
        """Send of what is kept what fits without waiting.

        Raises:
            ConnectionError: the client is gone.
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
        """What has arrived; empty at the end of the stream.

        Raises:
            BlockingIOError: nothing has arrived.
        """
        self.settimeout(0.0)
        return super().recv(size)

    def reset_on_close(self) -> None:
        """Forget what is unsent: closing drops what the client has not taken instead of waiting for it."""
        self._unsent.clear()
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Connection:
    """A connection in one of four states: waiting for a request, in a thread, sending the answer's rest, or closing.

    `make_parser` makes its parser on the first request. `deadline` (monotonic) bounds every state but the second;
    `received` is what came of a request not yet begun. `keep` says whether it may carry another one, `reads` whether
    the client has taken more of a long answer than it did at once.
    """

    initialized = data_ready = True
    is_http2 = False
    """What gunicorn's worker asks of a connection: the request is here, and it is HTTP/1."""

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
        """Whether nothing of a request has come."""
        return not self.received

    @property
    def is_liveness_request(self) -> bool:
        """Whether the request received is for the liveness route."""
        return _LIVENESS.match(self.received) is not None

    @property
    def is_list_request(self) -> bool:
        """Whether the request received is for everything of a kind, which may be long, and does not wait for it."""
        return _LIST.match(self.received) is not None

    @property
    def is_status_request(self) -> bool:
        """Whether the request received is a quick read that tells how the daemon is."""
        return _STATUS.match(self.received) is not None

    def add(self, data: bytes) -> bool:
        """Note what arrived; True once a thread can take the request without waiting for the client.

        A request that can only be refused counts as whole: the parser says why. Empty lines before it count as
        nothing (RFC 9112, 2.2).

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
        """Hand what was received to the parser, and give the thread until the deadline to read the rest."""
        if self.parser is None:
            self.parser = self._make_parser(self.sock, self.client)
        self.sock.read_until = self.deadline
        self.parser.unreader.unread(bytes(self.received))
        self.received.clear()

    def begin_sending(self, stall: float) -> None:
        """The answer's rest is to be sent: some of it within `stall` seconds, all of it at the slowest rate allowed."""
        now = time.monotonic()
        self.took_more = False
        self._outstanding = self.sock.outstanding
        self._send_by = now + self.sock.write_seconds + self.sock.unsent / SLOWEST
        self.deadline = now + stall

    def made_progress(self, stall: float) -> bool:
        """Whether the client took some of it since the last time; then it has `stall` seconds more."""
        before, self._outstanding = self._outstanding, self.sock.outstanding
        if self._outstanding >= before:
            return False
        self.took_more = True
        self.deadline = min(time.monotonic() + stall, self._send_by)
        return True

    def take_buffered(self) -> bytes:
        """Bytes of a next request that the parser has read but not used."""
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
