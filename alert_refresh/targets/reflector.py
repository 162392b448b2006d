"""Watches the Secrets of one namespace from exactly the version that was listed, and asks for a list at any doubt."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from urllib3 import exceptions
from urllib3.exceptions import HTTPError

from alert_refresh.engine import AttemptError, Deadline, Result, Transient, Trigger, Watch
from alert_refresh.targets.applier import FULL_PAUSE, Entry
from alert_refresh.targets.kube_errors import Forbidden, Gone, Unauthorized
from alert_refresh.targets.kube_list import path_of
from alert_refresh.targets.kube_snapshot import memo_of
from alert_refresh.targets.pace import Streak
from alert_refresh.targets.pulse import Pulse
from alert_refresh.targets.watch_events import DELETED, Doubt, Lines, decode

if TYPE_CHECKING:
    from urllib3 import HTTPResponse

    from alert_refresh.engine import Clock, Life, Outcome, Sink
    from alert_refresh.targets.applier import Journal
    from alert_refresh.targets.kube_client import KubeClient
    from alert_refresh.targets.listed import Listed
    from alert_refresh.targets.pace import Pace

READ = 256 * 1024
"""Bytes taken at once at most."""


class Reflector(Watch):
    """Watches one namespace (None: the one that is listed). It never gives up, and publishes nothing itself."""

    def __init__(
        self,
        namespace: str | None,
        *,
        alone: bool,
        client: KubeClient,
        label_selector: str,
        sink: Sink,
        journal: Journal,
        clock: Clock,
        pace: Pace,
    ) -> None:
        self.name = "watch" if alone else f"watch-{namespace}"
        self.back_by = math.inf
        self._namespace = namespace
        self._client = client
        self._label_selector = label_selector
        self._sink = sink
        self._journal = journal
        self._clock = clock
        self._pace = pace
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._unapplied = threading.Event()
        self._response: HTTPResponse | None = None
        self._failing = False
        self._successes = 0
        self._position: int | None = None
        self._doubted = 0
        self._streak = Streak(pace, clock)
        self._pulse = Pulse(clock)

    def life(self) -> Life:
        """How the connection fares."""
        return self._pulse.life()

    def refreshed(self, outcome: Outcome) -> None:
        """A list was read, or could not be: what this waits for."""
        self._failing = outcome.result is Result.FAILED
        self._successes += outcome.result is Result.SUCCESS
        self._wake.set()

    def corrected(self, namespace: str, count: int) -> None:
        """So many Secrets of a namespace were corrected by a list; it counts if a watch should have told them."""
        if self._pulse.ever and namespace == self._key():
            self._pulse.counts["drift_corrected"] += count

    def relist(self, namespace: str) -> None:
        """Begin anew if this watches that namespace: some of its events could not be applied. From any thread."""
        if namespace == self._key():
            self._unapplied.set()
            if (response := self._response) is not None:
                _shut(response)

    def stop(self) -> None:
        """End `run`, also while it waits for bytes."""
        self._stopping.set()
        self._wake.set()
        response = self._response
        if response is not None:
            _shut(response)

    def run(self) -> None:
        """Watch until stopped."""
        self._position = None
        while (version := self._start()) is not None:
            try:
                self._watch(version)
            except Doubt as doubt:
                self._begin_anew(str(doubt))
            except Gone as error:
                self._begin_anew(str(error))
            except AttemptError as error:
                self._again(error)
            finally:
                self.back_by = math.inf

    def _start(self) -> int | None:
        """The version to watch from, once there is one; None when stopped."""
        while True:
            self._wake.clear()
            if self._stopping.is_set():
                return None
            listed = self._listed()
            if listed is not None and (self._position is not None or listed.serial > self._doubted):
                if listed.version >= 0:
                    return max(listed.version, self._position or 0)
                self._pulse.lost(self._key(), "resourceVersions are no numbers")
            self._clock.wait(self._wake, None)

    def _watch(self, version: int) -> None:
        """One watch, to the end that the server gives it.

        Raises:
            Doubt: it told something that cannot be used, or nothing in its time.
            Transient, Permanent: it did not begin, or broke.
        """
        key = self._key()
        assert key is not None
        lasts = self._pace.lifetime()
        until = Deadline(self._clock, lasts + self._pace.margin)
        self.back_by = until.at + self._pace.connect
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "labelSelector": self._label_selector,
            "resourceVersion": str(version),
            "timeoutSeconds": str(max(1, round(lasts))),
        }
        began = self._clock.monotonic()
        response = self._client.get(path_of(key), query, connect=self._pace.connect, read=until.check())
        try:
            self._response = response
            if self._stopping.is_set():
                return
            self._position = version
            if self._pulse.back(key) and self._failing:
                # What kept the refresh from the server may be over too.
                self._sink.notify(Trigger.WATCH)
            told = self._read(response, until, key)
        finally:
            self._response = None
            response.close()
        self._pulse.proof()
        if not told and self._clock.monotonic() - began < min(1.0, lasts / 2):
            raise Transient("the API server ends watches at once", "network")
        self._streak.end()

    def _read(self, response: HTTPResponse, until: Deadline, key: str) -> int:
        """Read to the end; returns how many events there were."""
        told, lines = 0, Lines()
        sock = getattr(response.connection, "sock", None)
        try:
            while not self._unapplied.is_set():
                left = until.check()
                if sock is not None:
                    sock.settimeout(left)
                piece = response.read1(READ)
                if not piece:
                    break
                for line in lines.feed(piece):
                    self._take(line, key)
                    told += 1
        except (HTTPError, OSError, AttemptError) as error:
            self._demand_applied(error)
            if self._stopping.is_set():
                return told
            if isinstance(error, (exceptions.TimeoutError, AttemptError)):
                # Whatever says nothing for longer than it was to last may have lost anything.
                raise Doubt("the watch fell silent") from error
            raise Transient("the watch's connection broke", "network") from error
        self._demand_applied()
        if lines.torn and not self._stopping.is_set():
            raise Transient("the watch ended inside a line", "network")
        return told

    def _demand_applied(self, cause: Exception | None = None) -> None:
        """Raise `Doubt` once after `relist`."""
        if self._unapplied.is_set():
            self._unapplied.clear()
            raise Doubt("a batch of events could not be applied") from cause

    def _take(self, line: bytearray, key: str) -> None:
        """Hand over one event."""
        told = decode(line)
        if not told.version.isascii() or not told.version.isdecimal():
            raise Doubt("an event's resourceVersion is no number")
        self._pulse.proof()
        if told.secret is not None:
            while self._journal.full and not self._clock.wait(self._stopping, FULL_PAUSE):
                self.back_by = self._clock.monotonic() + self._pace.margin
            self._journal.put(Entry(key, told.secret, told.type == DELETED, self._clock.monotonic()))
        self._position = max(self._position or 0, int(told.version))

    def _begin_anew(self, error: str) -> None:
        """List again, at once the first time, and watch from there."""
        if self._stopping.is_set():
            return
        self._pulse.lost(self._key(), error)
        self._pulse.counts["relists"] += 1
        self._pause(self._streak.wait(self._pace.refused, free=True))
        listed = self._listed()
        self._doubted = 0 if listed is None else listed.serial
        self._position = None
        self._sink.notify(Trigger.WATCH)

    def _again(self, error: AttemptError) -> None:
        """Try again from where the watch ended, later."""
        if self._stopping.is_set():
            return
        self._pulse.lost(self._key(), str(error))
        self._pulse.counts["reconnects"] += 1
        if isinstance(error, Forbidden):
            self._until_success()
        elif error.error_type in ("k8s_api", "auth", "parse"):
            if isinstance(error, Unauthorized):
                self._client.reset()
            asked = error.retry_after if isinstance(error, Transient) else None
            self._pause(max(self._streak.wait(self._pace.refused), min(asked or 0.0, self._pace.refused[1])))
            if self._failing:
                self._until_success()
        else:
            self._pause(self._streak.wait(self._pace.broken))

    def _pause(self, seconds: float) -> None:
        self._clock.wait(self._stopping, seconds)

    def _until_success(self) -> None:
        """Wait for a refresh that succeeds: the server is left to its schedule."""
        before = self._successes
        while self._successes == before and not self._stopping.is_set():
            self._wake.clear()
            if self._successes == before and not self._stopping.is_set():
                self._clock.wait(self._wake, None)

    def _key(self) -> str | None:
        """The namespace as it is listed."""
        if self._namespace is not None:
            return self._namespace
        memo = memo_of(self._sink.current())
        return next(iter(memo.known), None) if memo is not None else None

    def _listed(self) -> Listed | None:
        key, memo = self._key(), memo_of(self._sink.current())
        return None if memo is None or key is None else memo.known.get(key)


def _shut(response: HTTPResponse) -> None:
    try:
        response.shutdown()
    except (ValueError, OSError, HTTPError):
        return
