"""Watches the Secrets of one namespace from exactly the version that was listed, and asks for a list at any doubt."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from urllib3 import exceptions
from urllib3.exceptions import HTTPError

from alert_refresh.engine import AttemptError, Deadline, Result, Transient, Trigger, Watch
from alert_refresh.targets.kubernetes.body import READ, shut_down
from alert_refresh.targets.kubernetes.errors import Behind, Gone, OtherServer, Unauthorized
from alert_refresh.targets.kubernetes.events import BOOKMARK, DELETED, Lines, RelistNeeded, decode
from alert_refresh.targets.kubernetes.health import HealthRecorder
from alert_refresh.targets.kubernetes.journal import FULL_PAUSE, Entry
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
        heard: HighestVersions,
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
        self._versions = heard
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
        self._doubted = 0
        self._reconnect_backoff = ResettingBackoff(timings.reset_after, clock)
        self._relist_backoff = ResettingBackoff(timings.reset_after, clock)
        self._health = HealthRecorder(clock)
        self._last_list = self._serial()

    def health(self) -> WatchHealth:
        """The state of the connection."""
        return self._health.health()

    def refreshed(self, outcome: Outcome) -> None:
        """The namespace was listed, or could not be: what this waits for. A watch of an epoch that is over ends."""
        before, self._last_list = self._last_list, self._serial()
        self._failing = outcome.result is Result.FAILED and self._last_list == before
        self._wake.set()
        response = self._response
        if response is not None and self._over():
            shut_down(response)

    def corrected(self, namespace: str, count: int) -> None:
        """So many Secrets of a namespace were corrected by a list; it counts if a watch should have told them."""
        if self._health.was_connected and namespace == self._key():
            self._health.counts["drift_corrected"] += count

    def relist(self, namespace: str) -> None:
        """Begin anew if this watches that namespace: some of its events could not be applied. From any thread."""
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
        """The version to watch from, once there is one; None when stopped."""
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
            if listed is not None and (self._position is not None or listed.serial > self._doubted):
                if listed.version >= 0:
                    return max(listed.version, self._position or 0)
                self._health.disconnected(self._key(), "resourceVersions are no numbers")
            self._wait(self._wake, None)

    def _watch(self, version: int) -> None:
        """One watch, to the end that the server gives it.

        Raises:
            RelistNeeded: it told something that cannot be used, or nothing in its time.
            Transient, Permanent: it did not begin, or broke.
        """
        key, memo = self._key(), memo_of(self._sink.current())
        assert key is not None and memo is not None
        lasts = self._timings.lifetime()
        until = Deadline(self._clock, lasts + self._timings.margin)
        self.back_by = until.at + self._timings.connect
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "labelSelector": self._label_selector,
            "resourceVersion": str(version),
            "timeoutSeconds": str(max(1, round(lasts))),
        }
        began = self._clock.monotonic()
        response = self._open(key, query, until.check(), memo.server)
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
            told = self._read(response, until, key)
        finally:
            self._response = None
            response.close()
        if self._over():
            return
        self._health.heard()
        if not told and self._clock.monotonic() - began < min(1.0, lasts / 2):
            raise Transient("the API server ends watches at once", "network")
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
            if self._over():
                return told
            if isinstance(error, (exceptions.TimeoutError, AttemptError)):
                # Whatever says nothing for longer than it was to last may have lost anything.
                raise RelistNeeded("the watch fell silent") from error
            raise Transient("the watch's connection broke", "network") from error
        self._demand_applied()
        if lines.torn and not self._over():
            raise Transient("the watch ended inside a line", "network")
        return told

    def _demand_applied(self, cause: Exception | None = None) -> None:
        """Raise `RelistNeeded` once after `relist`."""
        if self._unapplied.is_set():
            self._unapplied.clear()
            raise RelistNeeded("a batch of events could not be applied") from cause

    def _take(self, line: bytearray, key: str) -> None:
        """Hand over one event."""
        told = decode(line)
        if not told.version.isascii() or not told.version.isdecimal():
            raise RelistNeeded("an event's resourceVersion is no number")
        self._health.heard()
        position, version = self._position or 0, int(told.version)
        if told.type == BOOKMARK and version < position:
            raise RelistNeeded("a bookmark is older than what the watch began from")
        epoch = self._epoch or 0
        self._versions.note(key, epoch, version)
        if told.secret is not None:
            self._make_room()
            self._journal.put(Entry(key, epoch, told.secret, told.type == DELETED, self._clock.monotonic()))
        self._position = max(position, version)

    def _make_room(self) -> None:
        """Wait while the journal is full."""
        promised = self.back_by
        while self._journal.full and not self._wait(self._stopping, FULL_PAUSE):
            pass
        self.back_by = promised

    def _relist(self, error: str) -> None:
        """List again, at once the first time, and watch from there."""
        if self._over():
            return
        self._health.disconnected(self._key(), error)
        self._doubted, self._position = self._serial() or 0, None
        if not self._listed_within(self._relist_backoff.wait(self._timings.refused, free=True)):
            self._health.counts["relists"] += 1
            self._sink.notify(Trigger.WATCH)

    def _retry(self, error: AttemptError) -> None:
        """Try again from where the watch ended, later."""
        if error.error_type == "parse" or (error.error_type == "k8s_api" and not isinstance(error, Transient)):
            # An answer that says nothing about when or why it may be another one.
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
        """Wait as long as the server asked at least, and then as long as lists are refused too."""
        longest = self._timings.refused.maximum
        least = min(asked or 0.0, longest)
        rest = self._reconnect_backoff.wait(self._timings.refused) - least
        self._wait(self._stopping, least)
        self._listed_within(max(0.0, rest))
        if self._failing:
            self._listed_within(None)

    def _wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Wait, having told `health` that this may take its time."""
        self.back_by = math.inf
        return self._clock.wait(event, seconds)

    def _listed_within(self, seconds: float | None) -> bool:
        """Wait at most so many seconds until the namespace has been listed again or this is stopped: whether it was."""
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
        """The namespace as it is listed."""
        if self._namespace is not None:
            return self._namespace
        memo = memo_of(self._sink.current())
        return next(iter(memo.known), None) if memo is not None else None

    def _over(self) -> bool:
        """Whether what is being watched is not wanted any more: stopped, or another epoch has begun."""
        listed = self._listed()
        return self._stopping.is_set() or listed is None or listed.epoch != self._epoch

    def _serial(self) -> int | None:
        """Which list is known."""
        listed = self._listed()
        return None if listed is None else listed.serial

    def _listed(self) -> Store | None:
        key, memo = self._key(), memo_of(self._sink.current())
        return None if memo is None or key is None else memo.known.get(key)
