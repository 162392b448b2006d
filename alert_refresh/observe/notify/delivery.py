"""Delivers notices one after the other, from a bounded queue with a thread of its own: tries, retries, counts, logs.

Nothing that a webhook does (hang, drip, fail) holds up the caller or the stop.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from alert_refresh.engine import AttemptError, Mailbox, Stopping, Transient
from alert_refresh.engine.errors import Superseded
from alert_refresh.engine.retry import RetryPolicy
from alert_refresh.engine.threads import Call, spawn
from alert_refresh.observe.notify.bodies import body
from alert_refresh.observe.notify.exchange import ALERTS_PATH, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from alert_refresh.engine import Clock
    from alert_refresh.observe.notify.notice import Notice
    from alert_refresh.observe.notify.settings import NotifySettings

QUEUE = 100
"""Notices that may wait."""
TIMEOUT = 10.0
"""Seconds of one request, from resolving the name to the status of the answer."""
RETRIES = RetryPolicy(max_retries=3, base_backoff=4.0, max_backoff=60.0)
"""Longest wait: also of one that the server asks for."""
STOP_SECONDS = 0.5
"""Seconds for what is queued when the program stops."""
MOST_HANGING = 2
"""Requests that may hang, in the resolver for example, before no further one is begun."""

log = logging.getLogger("alert_refresh.notify")


class Delivery:
    """The queue and its thread, from `start` to `stop`, after which it may be started again.

    `sent`, `failed` and `dropped` count notices.
    """

    def __init__(self, settings: NotifySettings, clock: Clock, host: str, size: int = QUEUE) -> None:
        self._settings = settings
        self._clock = clock
        self._host = host
        self._size = size
        self._path = ALERTS_PATH if settings.format == "alertmanager" else ""
        self._stopping = threading.Event()
        self._over = False
        self._mailbox: Mailbox[Callable[[], None]] | None = None
        self._current: tuple[Exchange, Call[None]] | None = None
        self._hanging: list[threading.Thread] = []
        self._failures = 0
        self.sent = self.failed = self._given_up = self._full = 0

    @property
    def dropped(self) -> int:
        """Notices that were not sent: the queue was full, there was newer news, or the program stopped."""
        return self._given_up + self._full + (0 if self._mailbox is None else self._mailbox.dropped)

    def start(self) -> None:
        """Start the thread."""
        self._stopping = threading.Event()
        self._over = False
        self._mailbox = Mailbox("notify", lambda call: call(), self._size)
        self._mailbox.start()

    def put(self, call: Callable[[], None]) -> bool:
        """Make a call in the thread; False if it is dropped, as the queue is full or there is no thread."""
        before = self.dropped
        if self._mailbox is None:
            self._full += 1
        else:
            self._mailbox.put(call)
        dropped = self.dropped > before
        if dropped:
            log.warning("A notification was dropped: too many wait", extra={"notify_host": self._settings.host})
        return not dropped

    def stop(self) -> None:
        """End the waits, deliver what is queued for at most `STOP_SECONDS`, give up the rest, and end the thread."""
        mailbox = self._mailbox
        if mailbox is None:
            return
        self._stopping.set()
        mailbox.stop(STOP_SECONDS)
        self._over = True
        if self._current is not None:
            exchange, call = self._current
            exchange.cut()
            call.ended.set()
            # The thread ends at once now, after its log line.
            mailbox.stop(STOP_SECONDS)
        self._full += mailbox.dropped
        self._mailbox = None

    # In the queue's thread

    def deliver(self, notice: Notice, obsolete: Callable[[], bool], undelivered: Callable[[], None]) -> None:
        """Send a notice, again after a failure that may be temporary, until it is `obsolete`.

        Calls `undelivered` if it was certainly not delivered though that may still succeed later.
        """

        def sleep(seconds: float) -> None:
            if self._clock.wait(self._stopping, seconds):
                raise Stopping("the program stops")
            if obsolete():
                raise Superseded("there is newer news")

        if obsolete():
            self._given_up += 1
            return
        try:
            for attempt in RETRIES.retrying(sleep=sleep, before_sleep=lambda _: None):
                with attempt:
                    self._post(notice)
        except (Stopping, Superseded) as error:
            self._given_up += 1
            log.warning("A notification was abandoned: %s", error, extra=self._fields(notice))
        except AttemptError as error:
            if isinstance(error, Transient):
                undelivered()
            self._note_failure(notice, error)
        else:
            self._note_success(notice)

    def repeat(self, notice: Notice) -> None:
        """Send once more what was sent before; the next repetition makes up for a failure."""
        try:
            self._post(notice)
        except Stopping:
            self._given_up += 1
        except AttemptError as error:
            self._note_failure(notice, error)
        else:
            self._note_success(notice, repeated=True)

    def _post(self, notice: Notice) -> None:
        """One request, in a thread that is abandoned if it takes too long.

        Raises:
            Transient, Permanent: it was not delivered, or that is not known; see `Exchange`.
            Stopping: the program stops, and does not wait any longer.
        """
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if len(self._hanging) >= MOST_HANGING:
            raise Transient("earlier requests still hang")
        text = body(self._settings.format, notice, self._host, self._clock.time())
        exchange = Exchange(self._settings.current, text, self._clock, TIMEOUT, self._path)
        call = Call(exchange.run)
        self._current = exchange, call
        self._check_stop()
        try:
            thread = spawn("notify-request", call.run)
        except (RuntimeError, MemoryError) as error:
            raise Transient("no thread could be started") from error
        self._clock.wait(call.ended, TIMEOUT)
        self._current = None
        if call.answered and not exchange.was_cut:
            return call.result()
        exchange.cut()
        self._hanging.append(thread)
        self._check_stop()
        raise exchange.late()

    def _check_stop(self) -> None:
        if self._over:
            raise Stopping("the program stops")

    def _note_success(self, notice: Notice, *, repeated: bool = False) -> None:
        self.sent += 1
        if self._failures:
            log.info("Notifications are delivered again after %d failures", self._failures, extra=self._fields(notice))
            self._failures = 0
        log.log(logging.DEBUG if repeated else logging.INFO, "Notification sent", extra=self._fields(notice))

    def _note_failure(self, notice: Notice, error: AttemptError) -> None:
        """Count it; only the first one after a success is a line of its own at WARNING."""
        self.failed += 1
        self._failures += 1
        level = logging.WARNING if self._failures == 1 else logging.DEBUG
        fields = self._fields(notice) | {"error": str(error), "error_type": error.error_type}
        log.log(level, "Notification could not be delivered", extra=fields)

    def _fields(self, notice: Notice) -> dict[str, str]:
        return {
            "kind": notice.kind,
            "reason": notice.reason.value,
            "status": notice.status.value,
            "notify_host": self._settings.host,
        }
