"""Refreshes the Secrets of one target: reads them by name, and merges them into what is known as a watch's events are.

So nothing goes back, whatever a watch tells meanwhile, and what is served then is what a list of everything would give.
Where that is not certain, everything is listed: something else is not known to be good, more than a few Secrets have
the name, the right to read one is missing, the server is another one, or what it answers contradicts what it told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from alert_refresh.engine import Permanent, Snapshot
from alert_refresh.targets.kubernetes.body import KubeReader
from alert_refresh.targets.kubernetes.encoding import json_list
from alert_refresh.targets.kubernetes.errors import Forbidden, Gone, NotAcceptable, NotFound
from alert_refresh.targets.kubernetes.list import EVERYWHERE, SINGLES, candidate, path_of
from alert_refresh.targets.kubernetes.snapshot import memo_of, serve
from alert_refresh.targets.kubernetes.store import UNKNOWN, Event, apply, number
from alert_refresh.targets.kubernetes.versions import HighestVersions
from alert_refresh.targets.named import secrets_of
from alert_refresh.targets.secret.selector import parse_selector
from alert_refresh.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alert_refresh.engine import Clock, Deadline, Request
    from alert_refresh.targets import Settings
    from alert_refresh.targets.bulkhead import Bulkhead
    from alert_refresh.targets.kubernetes.client import KubeClient
    from alert_refresh.targets.kubernetes.snapshot import Memo
    from alert_refresh.targets.kubernetes.store import Store
    from alert_refresh.targets.revise import Change


class ListNeeded(Exception):
    """Raised when Secrets that are read alone cannot tell what is true; the message says why."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of one Secret, as events for the namespace `key` (as it is listed).

    `shows` is the uid and version under which it has to be known then, None if it is no target now; `gone` are the uids
    that must not be known any more. `valid` tells whether it is a target, None if it is not one that is meant.
    """

    key: str
    events: tuple[Event, ...]
    shows: tuple[str, str] | None
    gone: frozenset[str]
    valid: bool | None

    def fits(self, store: Store) -> bool:
        """Whether `store`, to which the events were applied, has what was read."""
        if self.shows is not None:
            uid, version = self.shows
            if uid not in store.known or store.known[uid][0] != version:
                return False
        return self.gone.isdisjoint(store.known)


@dataclass(slots=True)
class _Seconds:
    """Seconds spent on reading and on parsing."""

    discover: float = 0.0
    parse: float = 0.0


class SelectiveRefresh:
    """Refreshes one target for one source. `versions` has the highest resourceVersions of its answers."""

    def __init__(self, client: KubeClient, settings: Settings, clock: Clock, bulkhead: Bulkhead) -> None:
        self.versions = HighestVersions()
        self._client = client
        self._label_selector = settings.label_selector
        self._selector = parse_selector(settings.label_selector)
        self._deny_private = settings.deny_private
        self._clock = clock
        self._bulkhead = bulkhead
        self._tried: Request | None = None

    def refresh(self, previous: Snapshot[Target] | None, request: Request, deadline: Deadline) -> Snapshot[Target]:
        """What is true once the target that `request.scope` names was read again.

        Only the first attempt of a request is selective: its retries delay the schedule, so they do its work.

        Raises:
            ListNeeded: everything must be listed.
            Transient, Permanent: a Secret cannot be read.
        """
        memo = memo_of(previous)
        if previous is None or memo is None or memo.failed:
            raise ListNeeded("not everything is known")
        if request is self._tried:
            raise ListNeeded("this is not the first attempt")
        self._tried = request
        wanted = secrets_of(previous, request.scope or "")
        if not 0 < len(wanted) <= SINGLES:
            raise ListNeeded(f"{len(wanted)} Secrets have the name")
        reader = KubeReader(self._client)
        if reader.server != memo.server:
            raise ListNeeded("the API server is another one")
        seconds = _Seconds()
        try:
            read = [self._read(reader, memo, namespace, name, deadline, seconds) for namespace, name in wanted]
        except (Forbidden, Gone, NotAcceptable) as error:
            raise ListNeeded(str(error)) from error
        after, _ = _applied(memo, read)
        if not all(one.fits(after.known[one.key]) for one in read):
            raise ListNeeded("what was read contradicts what is known")
        return self._snapshot(previous, read, seconds)

    def _read(
        self, reader: KubeReader, memo: Memo, namespace: str, name: str, deadline: Deadline, seconds: _Seconds
    ) -> _Read:
        """Read a Secret, and compare it with what is known of it."""
        key = EVERYWHERE if EVERYWHERE in memo.known else namespace
        if key not in memo.known:
            raise ListNeeded("its namespace is not listed any more")
        store, began = memo.known[key], self._clock.monotonic()
        version, found = self._get(reader, namespace, name, deadline)
        seconds.discover += self._clock.monotonic() - began
        if number(version) == UNKNOWN:
            raise ListNeeded("resourceVersions are no numbers")
        self.versions.note(key, store.epoch, number(version))
        uids = {uid for uid, (_, one) in store.known.items() if (one.namespace, one.secret) == (namespace, name)}
        if found is None:
            gone = tuple(Event(uid, version, None) for uid in uids)
            return _Read(key, gone, None, frozenset(uids), None)
        uid, version = found.metadata.uid, found.metadata.resourceVersion
        gone = tuple(Event(one, version, None) for one in uids - {uid})
        known = store.known.get(uid)
        if known is not None and known[0] == version:
            made = known[1]
        else:
            began = self._clock.monotonic()
            made = candidate(found, self._bulkhead, deny_private=self._deny_private)
            seconds.parse += self._clock.monotonic() - began
        valid = isinstance(made.result, Target)
        events = (*gone, Event(uid, version, made))
        return _Read(key, events, (uid, version), frozenset(uids - {uid}), valid)

    def _get(
        self, reader: KubeReader, namespace: str, name: str, deadline: Deadline
    ) -> tuple[str, json_list.Secret | None]:
        """A Secret, None if there is none or the label selector does not select it; and the version at which it is so.

        A 404 does not tell that version, and may be that of a proxy: the Secrets of that name are listed then.
        """
        path = path_of(namespace)
        try:
            with reader.get(f"{path}/{quote(name, safe='')}", {}, deadline, json_list.CONTENT_TYPE) as answer:
                single = json_list.decode_single(answer.whole())
        except NotFound:
            query = {"labelSelector": self._label_selector, "fieldSelector": f"metadata.name={name}"}
            with reader.get(path, query, deadline, json_list.CONTENT_TYPE) as answer:
                page = json_list.decode(answer.whole())
            named = [one for one in page.items if (one.metadata.namespace, one.metadata.name) == (namespace, name)]
            return page.metadata.resourceVersion, named[0] if named else None
        about = single.metadata
        if (about.namespace, about.name) != (namespace, name) or not about.uid or not about.resourceVersion:
            raise Permanent("the API server's answer is not the Secret that was asked for", "parse")
        return about.resourceVersion, single if self._selector.matches(about.labels or {}) else None

    def _snapshot(self, current: Snapshot[Target], read: list[_Read], seconds: _Seconds) -> Snapshot[Target]:
        """What is true now, given what is served: a watch may have published since, but began no new epoch."""
        began, memo = self._clock.monotonic(), memo_of(current)
        assert memo is not None
        memo, changes = _applied(memo, read)
        now = self._clock.time()
        items, rejected, digest = serve(current, memo, changes, now)
        stats = {
            "selective": 1.0,
            "discover_seconds": seconds.discover,
            "parse_seconds": seconds.parse,
            "validate_seconds": self._clock.monotonic() - began,
            "secrets_valid": sum(one.valid is True for one in read),
            "secrets_invalid": sum(one.valid is False for one in read),
            "secrets_skipped": 0,
        }
        return replace(
            current,
            items=items,
            rejected=rejected,
            digest=digest,
            taken_at=now,
            memo=memo,
            stats=stats,
            rebase=lambda served: self._snapshot(served, read, seconds),
        )


def _applied(memo: Memo, read: Iterable[_Read]) -> tuple[Memo, list[Change]]:
    """What is known after what was read, and how it differs."""
    known = dict(memo.known)
    changes: list[Change] = []
    for one in read:
        known[one.key], changed = apply(known[one.key], one.events)
        changes += changed
    return replace(memo, known=known), changes
