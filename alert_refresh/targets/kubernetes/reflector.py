"""Watches the Secrets of one namespace from exactly the listed version; requests a relist when events may be lost."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from urllib3 import exceptions
from urllib3.exceptions import HTTPError

from alert_refresh.engine import AttemptError, Deadline, Result, Transient, Trigger, Watch
from alert_refresh.targets.kubernetes.body import READ, shut_down
from alert_refresh.targets.kubernetes.errors import Behind, Gone, OtherServer, Unauthorized
from alert_refresh.targets.kubernetes.events import (
    BOOKMARK,
    DELETED,
    Lines,
    RelistNeeded,
    WatchEvent,
    decode,
    watch_query,
)
from alert_refresh.targets.kubernetes.health import HealthRecorder
from alert_refresh.targets.kubernetes.journal import FULL_PAUSE
from alert_refresh.targets.kubernetes.list import path_of
from alert_refresh.targets.kubernetes.snapshot import memo_of
from alert_refresh.targets.kubernetes.timings import ResettingBackoff

if TYPE_CHECKING:
    from urllib3 import HTTPResponse

    from alert_refresh.engine import Clock, Outcome, Sink, WatchHealth
    from alert_refresh.targets.kubernetes.client import KubeClient
    from alert_refresh.targets.kubernetes.journal import Journal
    from alert_refresh.targets.kubernetes.store import Store
    from alert_refresh.targets.kubernetes.timings import WatchTimings
    from alert_refresh.targets.kubernetes.versions import HighestVersions


class Reflector(Watch):
    """Watches one namespace (None: the one that is listed). It retries until stopped, and publishes nothing itself."""

    def __init__(
        self,
        namespace: str | None,
        *,
        alone: bool,
        client: KubeClient,
        label_selector: str,
        sink: Sink,
        journal: Journal,
        versions: HighestVersions,
        clock: Clock,
        timings: WatchTimings,
    ) -> None:
        self.name = "watch" if alone else f"watch-{namespace}"
        self.back_by = math.inf
        self._namespace = namespace
        self._client = client
        self._label_selector = label_selector
        self._sink = sink
        self._journal = journal
        self._versions = versions
        self._clock = clock
        self._timings = timings
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._unapplied = threading.Event()
        self._response: HTTPResponse | None = None
        self._failing = False
        self._away_since: int | None = None
        self._epoch: int | None = None
        self._position: int | None = None
        self._distrusted = 0
        self._reconnect_backoff = ResettingBackoff(timings.reset_after, clock)
        self._relist_backoff = ResettingBackoff(timings.reset_after, clock)
        self._health = HealthRecorder(clock)
        self._last_list = self._serial()

    def health(self) -> WatchHealth:
        """The state of the connection."""
        return self._health.health()

    def refreshed(self, outcome: Outcome) -> None:
        """Wake `run`: the namespace was listed, or could not be. A watch of an earlier epoch ends."""
        before, self._last_list = self._last_list, self._serial()
        self._failing = outcome.result is Result.FAILED and self._last_list == before
        self._wake.set()
        response = self._response
        if response is not None and self._over():
            shut_down(response)

    @property
    def in_doubt(self) -> bool:
        """Whether the list that is known may be wrong, so that everything has to be listed."""
        return self._unapplied.is_set() or 0 < (self._serial() or 0) <= self._distrusted

    def corrected(self, namespace: str, count: int, at: float) -> None:
        """A list at that time (monotonic) corrected `count` Secrets of a namespace: drift, if a watch of it was
        connected before.
        """
        if namespace == self._key() and self._health.was_connected_before(at):
            self._health.counts["drift_corrected"] += count

    def relist(self, namespace: str) -> None:
        """Relist if this watches that namespace: some of its events could not be applied. From any thread."""
        if namespace == self._key():
            self._unapplied.set()
            if (response := self._response) is not None:
                shut_down(response)

    def stop(self) -> None:
        """End `run`, also while it waits for bytes."""
        self._stopping.set()
        self._wake.set()
        response = self._response
        if response is not None:
            shut_down(response)

    def run(self) -> None:
        """Watch until stopped."""
        self._epoch = None
        while (version := self._start()) is not None:
            try:
                self._watch(version)
            except (RelistNeeded, Gone, Behind, OtherServer) as error:
                self._relist(str(error))
            except AttemptError as error:
                self._retry(error)

    def _start(self) -> int | None:
        """Wait for the version to watch from; None when stopped."""
        while True:
            self._wake.clear()
            if self._stopping.is_set():
                return None
            listed = self._listed()
            if listed is None and self._epoch is not None:
                self._epoch = None
                self._health.disconnected(self._key(), "the namespace could not be listed")
            if listed is not None and listed.epoch != self._epoch:
                self._epoch, self._position = listed.epoch, None
            if listed is not None and (self._position is not None or listed.serial > self._distrusted):
                if listed.version >= 0:
                    return max(listed.version, self._position or 0)
                self._health.disconnected(self._key(), "resourceVersions are not numbers")
            self._wait(self._wake, None)

    def _watch(self, version: int) -> None:
        """One watch request, until the server ends it.

        Raises:
            RelistNeeded: an event cannot be used, or the server sent nothing before the timeout.
            Transient, Permanent: the request failed, or the connection broke.
        """
        key, memo = self._key(), memo_of(self._sink.current())
        assert key is not None and memo is not None
        lasts = self._timings.lifetime()
        until = Deadline(self._clock, lasts + self._timings.margin)
        self.back_by = until.at + self._timings.connect
        began = self._clock.monotonic()
        response = self._open(key, watch_query(version, lasts, self._label_selector), until.check(), memo.server)
        try:
            self._response = response
            if self._over():
                return
            self._position = version
            away_since, self._away_since = self._away_since, None
            not_listed_since = away_since is not None and away_since == self._serial()
            if self._health.connected(key) and (self._failing or not_listed_since):
                # What kept the refresh from the server may be over too, and a server that was away may have been
                # restored: it tells a watch from a version that is still to come nothing.
                self._sink.notify(Trigger.WATCH)
            count = self._read(response, until, key)
        finally:
            self._response = None
            response.close()
        if self._over():
            return
        self._health.heard()
        if not count and self._clock.monotonic() - began < min(1.0, lasts / 2):
            raise Transient("the API server ends watches immediately", "network")
        self._reconnect_backoff.reset()
        self._relist_backoff.reset()

    def _open(self, key: str, query: dict[str, str], read: float, server: str) -> HTTPResponse:
        try:
            return self._client.get(path_of(key), query, connect=self._timings.connect, read=read, server=server)
        except AttemptError as error:
            if error.error_type == "network" and self._away_since is None:
                self._away_since = self._serial()
            raise

    def _read(self, response: HTTPResponse, until: Deadline, key: str) -> int:
        """Read to the end of the response; returns the number of events."""
        count, lines = 0, Lines()
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
                    count += 1
        except (HTTPError, OSError, AttemptError) as error:
            self._demand_applied(error)
            if self._over():
                return count
            if isinstance(error, (exceptions.TimeoutError, AttemptError)):
                # The server should have ended the watch by now: the connection is dead, and events may be lost.
                raise RelistNeeded("the watch timed out") from error
            raise Transient("the watch's connection broke", "network") from error
        self._demand_applied()
        if lines.torn and not self._over():
            raise Transient("the watch ended inside a line", "network")
        return count

    def _demand_applied(self, cause: Exception | None = None) -> None:
        """Raise `RelistNeeded` once after `relist`."""
        if self._unapplied.is_set():
            self._unapplied.clear()
            raise RelistNeeded("a batch of events could not be applied") from cause

    def _take(self, line: bytearray, key: str) -> None:
        """Decode one line and put its event into the journal."""
        kind, text, secret = decode(line)
        if not text.isascii() or not text.isdecimal():
            raise RelistNeeded("an event's resourceVersion is not a number")
        self._health.heard()
        position, version = self._position or 0, int(text)
        if kind == BOOKMARK and version < position:
            raise RelistNeeded("a bookmark is older than the start of the watch")
        epoch = self._epoch or 0
        self._versions.note(key, epoch, version)
        if secret is not None:
            self._make_room()
            self._journal.put(WatchEvent(key, epoch, secret, kind == DELETED, self._clock.monotonic()))
        self._position = max(position, version)

    def _make_room(self) -> None:
        """Wait while the journal is full."""
        promised = self.back_by
        while self._journal.full and not self._wait(self._stopping, FULL_PAUSE):
            pass
        self.back_by = promised

    def _relist(self, error: str) -> None:
        """Request a list, the first time immediately, later after a backoff, and watch from its version."""
        if self._over():
            return
        self._health.disconnected(self._key(), error)
        self._distrusted, self._position = self._serial() or 0, None
        if not self._listed_within(self._relist_backoff.wait(self._timings.refused, free=True)):
            self._health.counts["relists"] += 1
            self._sink.notify(Trigger.WATCH)

    def _retry(self, error: AttemptError) -> None:
        """Wait for the backoff; the next watch resumes where this one ended."""
        if error.error_type == "parse" or (error.error_type == "k8s_api" and not isinstance(error, Transient)):
            # Nothing says when or why the answer would be different.
            self._relist(str(error))
        elif not self._over():
            self._health.disconnected(self._key(), str(error))
            self._health.counts["reconnects"] += 1
            if isinstance(error, Unauthorized):
                self._client.reset()
            if error.error_type in ("k8s_api", "auth"):
                # Also a 403: an API server that has just started answers it until it has read the roles.
                self._refused(error.retry_after if isinstance(error, Transient) else None)
            else:
                self._listed_within(self._reconnect_backoff.wait(self._timings.broken))

    def _refused(self, asked: float | None) -> None:
        """Wait for the server's Retry-After at least, and then until a list succeeds if lists are refused too."""
        longest = self._timings.refused.maximum
        least = min(asked or 0.0, longest)
        rest = self._reconnect_backoff.wait(self._timings.refused) - least
        self._wait(self._stopping, least)
        self._listed_within(max(0.0, rest))
        if self._failing:
            self._listed_within(None)

    def _wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Wait without a deadline for `back_by`: this may take long and is not a hang."""
        self.back_by = math.inf
        return self._clock.wait(event, seconds)

    def _listed_within(self, seconds: float | None) -> bool:
        """Wait until the namespace is listed again or this is stopped; False after `seconds` without either."""
        before = self._serial()
        until = Deadline(self._clock, math.inf if seconds is None else seconds)
        while not self._stopping.is_set() and self._serial() == before:
            left = until.remaining()
            if left <= 0:
                return False
            self._wake.clear()
            if not self._stopping.is_set() and self._serial() == before:
                self._wait(self._wake, None if seconds is None else left)
        return True

    def _key(self) -> str | None:
        """The namespace by which the memo knows this watch; None before the first list if it is not configured."""
        if self._namespace is not None:
            return self._namespace
        memo = memo_of(self._sink.current())
        return next(iter(memo.known), None) if memo is not None else None

    def _over(self) -> bool:
        """Whether the current watch is obsolete: this is stopped, or another epoch has started."""
        listed = self._listed()
        return self._stopping.is_set() or listed is None or listed.epoch != self._epoch

    def _serial(self) -> int | None:
        """The serial of the current list."""
        listed = self._listed()
        return None if listed is None else listed.serial

    def _listed(self) -> Store | None:
        key, memo = self._key(), memo_of(self._sink.current())
        return None if memo is None or key is None else memo.known.get(key)
