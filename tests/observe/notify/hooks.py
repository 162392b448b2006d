"""A webhook for tests that answers as it is told to, and a notifier that sends to it."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from alert_refresh.credential import Credential
from alert_refresh.engine import Outcome, Result, Trigger
from alert_refresh.observe.notify import NotifySettings
from alert_refresh.observe.notify.notifier import Notifier
from tests.fakes import FakeClock
from tests.stage import HANG_GUARD, eventually

if TYPE_CHECKING:
    import ssl
    from typing import Self

CANARY = "cAnArY7h1s1sAs3cr3t"
PATH = f"/services/{CANARY}?key={CANARY}"

SUCCESS = Outcome("targets", Trigger.PERIODIC, "id-1", 1, Result.SUCCESS, 1_700_000_000.0, 0.5)
FAILURE = replace(SUCCESS, result=Result.FAILED, error="connection refused", error_type="network")


def failure(streak: int, **changes: Any) -> Outcome:
    """The failed attempt that makes the streak so long, begun that many minutes after it."""
    at = SUCCESS.started_at + 60 * (streak - 1)
    changes = {"streak_before": streak - 1, "consecutive_failures": streak, "started_at": at} | changes
    return replace(FAILURE, **changes)


def success(streak: int, **changes: Any) -> Outcome:
    """The attempt that ends a streak of that length."""
    changes = {"streak_before": streak, "started_at": SUCCESS.started_at + 60 * streak} | changes
    return replace(SUCCESS, **changes)


@dataclass(frozen=True, slots=True)
class Post:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Hook:
    """A server on this machine. Each request takes the next action of the script, the last one again and again.

    An action is a status, a status with headers, or a function of what answers.
    """

    def __init__(self, *script: Any, tls: ssl.SSLContext | None = None) -> None:
        self.script = list(script or [200])
        self.posts: list[Post] = []
        self.over = threading.Event()
        self._news = threading.Condition()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answering", (_Answering,), {"hook": self}))
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.port: int = self.server.server_address[1]
        self.scheme = "http"
        if tls is not None:
            self.scheme = "https"
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(HANG_GUARD)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{PATH}"

    def take(self, post: Post) -> Any:
        """Note a request; returns what is to be done with it."""
        with self._news:
            self.posts.append(post)
            self._news.notify_all()
            return self.script[min(len(self.posts), len(self.script)) - 1]

    def wait_for(self, count: int) -> Post:
        """The request of that number, from 1, once it has arrived."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.posts) >= count, HANG_GUARD), f"{self.posts}"
            return self.posts[count - 1]

    def told(self) -> list[tuple[str, str, str]]:
        """Kind, reason and status of each request, of the generic form."""
        return [(one.body["kind"], one.body["reason"], one.body["status"]) for one in list(self.posts)]


class _Answering(BaseHTTPRequestHandler):
    """Answers one request as the script of its hook says."""

    hook: Hook

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        body = json.loads(self.rfile.read(length)) if length else None
        action = self.hook.take(Post(self.command, self.path, dict(self.headers), body))
        with contextlib.suppress(OSError):
            if callable(action):
                action(self)
            else:
                status, headers = action if isinstance(action, tuple) else (action, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
        self.close_connection = True

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def hang(answering: _Answering) -> None:
    """Say nothing until the test is over."""
    answering.hook.over.wait(HANG_GUARD)


def drip(answering: _Answering) -> None:
    """Say one letter of a header now and then, for ever."""
    answering.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not answering.hook.over.wait(0.01):
        answering.wfile.write(b"x")


def huge(answering: _Answering) -> None:
    """Answer well, with a body that never ends."""
    answering.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while not answering.hook.over.is_set():
        answering.wfile.write(b"x" * 65536)


def leave(answering: _Answering) -> None:
    """End the connection without an answer."""


def nonsense(answering: _Answering) -> None:
    """Answer what is not HTTP."""
    answering.wfile.write(CANARY.encode() + b"\r\n\r\n")


class Notified:
    """A running notifier with a clock to advance; leaving its context stops it."""

    def __init__(self, url: str, form: str = "generic", **more: Any) -> None:
        self.clock = FakeClock()
        self.notifier = Notifier(NotifySettings(Credential(url), None, form), self.clock, **more)
        self.delivery = self.notifier.delivery

    def __enter__(self) -> Self:
        self.notifier.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.notifier.stop()

    def fail(self, *streaks: int, **changes: Any) -> None:
        """Tell of failed attempts with these streaks."""
        for streak in streaks:
            self.notifier(failure(streak, **changes))

    def succeed(self, streak: int = 0, **changes: Any) -> None:
        """Tell of a successful attempt after such a streak."""
        self.notifier(success(streak, **changes))

    def counts(self) -> tuple[int, int, int]:
        """How many were sent, failed, dropped."""
        return self.delivery.sent, self.delivery.failed, self.delivery.dropped

    def becomes(self, sent: int = 0, failed: int = 0, dropped: int = 0) -> None:
        """Wait until the counts are these."""
        try:
            eventually(lambda: self.counts() == (sent, failed, dropped))
        except AssertionError:
            assert self.counts() == (sent, failed, dropped)
            raise

    def after(self, seconds: float) -> None:
        """Once a thread waits that long, let that time pass."""
        self.clock.wait_for_sleeper(seconds)
        self.clock.advance(seconds)
