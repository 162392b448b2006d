"""Targets from the Secrets of a Kubernetes cluster: listed in whole by each refresh, watched in between."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alert_refresh.engine import AttemptError, Deadline, Partial, Permanent, Snapshot, Transient, Trigger
from alert_refresh.targets.bulkhead import Bulkhead
from alert_refresh.targets.kubernetes.access import access_watches
from alert_refresh.targets.kubernetes.applier import Applier
from alert_refresh.targets.kubernetes.body import KubeReader
from alert_refresh.targets.kubernetes.client import KubeClient
from alert_refresh.targets.kubernetes.list import EVERYWHERE, JsonServers, Lister, name_of
from alert_refresh.targets.kubernetes.reflector import Reflector
from alert_refresh.targets.kubernetes.rights import VERBS, Right, manifests, missing, subject
from alert_refresh.targets.kubernetes.snapshot import Memo, counts, join, memo_of, serve, surviving
from alert_refresh.targets.kubernetes.store import UNKNOWN, Store
from alert_refresh.targets.kubernetes.timings import WatchTimings
from alert_refresh.targets.kubernetes.versions import HighestVersions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alert_refresh.engine import Clock, Request, Sink, Watch
    from alert_refresh.targets import Settings
    from alert_refresh.targets.kubernetes.list import Timing
    from alert_refresh.targets.target import Target

log = logging.getLogger(__name__)

TRUSTING = (Trigger.PERIODIC, Trigger.MANUAL)
"""Triggers that mean no doubt about what is known."""


@dataclass(frozen=True, slots=True)
class _Lists:
    """What one attempt read of one `server`, by namespace: lists, and why there is none."""

    server: str
    timing: Timing
    listed: dict[str, Store]
    failed: dict[str, AttemptError]


class KubernetesSource:
    """The Secrets that the label selector finds, in the namespaces of the settings."""

    name = "kubernetes"

    def __init__(self, settings: Settings, clock: Clock, timings: WatchTimings | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._timings = timings or WatchTimings()
        self._client = KubeClient(settings.kubeconfig, pod_server=settings.pod_server, clock=clock)
        self._serial = itertools.count(1)
        self._versions = HighestVersions()
        self._bulkhead = Bulkhead()
        self._json_servers = JsonServers(clock)

    def refresh(self, previous: Snapshot[Target] | None, request: Request, deadline: Deadline) -> Snapshot[Target]:
        """List everything; see `Source`.

        With several namespaces each may take an even share of the time left. One that fails keeps its last good
        targets, stale, while the others are published. A list that is older than what was known, or that comes from
        another server, begins a new epoch: nothing known before is used, and it replaces what was served.

        Raises:
            Transient, Permanent: no namespace could be listed.
            Partial: some could not.
        """
        memo = memo_of(previous) or Memo()
        lists = self._read(memo, deadline, trusting=request.trigger in TRUSTING)
        if any(error.error_type == "tls" for error in lists.failed.values()):
            # A plugin may have made the client certificate.
            self._client.reset()
        if not lists.listed:
            raise failure(lists)
        warn(memo, lists)
        snapshot = self._snapshot(previous, lists)
        if lists.failed:
            raise Partial(snapshot, failure(lists))
        return snapshot

    def watches(self, sink: Sink) -> Sequence[Watch]:
        """One reflector for each namespace, or one for all, what applies the events of all of them, and what sees the
        files change that let us in.
        """
        if not self._settings.watch:
            return ()
        names = self._named()
        applier = Applier(sink, self._clock, self._bulkhead, deny_private=self._settings.deny_private)
        applier.reflectors = [
            Reflector(
                name,
                alone=len(names) == 1,
                client=self._client,
                label_selector=self._settings.label_selector,
                sink=sink,
                journal=applier.journal,
                heard=self._versions,
                clock=self._clock,
                timings=self._timings,
            )
            for name in names
        ]
        return (*applier.reflectors, applier, *access_watches(self._client.files(), sink))

    def close(self) -> None:
        """Close the connections."""
        self._client.reset()

    def missing_rights(self, deadline: Deadline) -> list[Right]:
        """The rights this source needs and lacks.

        Raises:
            Transient, Permanent: the API server does not tell.
        """
        verbs = VERBS if self._settings.watch else VERBS[:-1]
        return missing(self._client, [Right(one, verb) for one in self._namespaces() for verb in verbs], deadline)

    def role(self, rights: Sequence[Right], deadline: Deadline) -> str:
        """The manifests that grant these rights to whom we are.

        Raises:
            Transient, Permanent: the configuration cannot be read.
        """
        return manifests(rights, subject(self._client, deadline))

    def _named(self) -> tuple[str | None, ...]:
        """What to list, as far as the settings say; everywhere includes every other."""
        named = self._settings.namespaces
        if EVERYWHERE in named:
            return (EVERYWHERE,)
        return tuple(dict.fromkeys(named)) or (None,)

    def _namespaces(self) -> tuple[str, ...]:
        """What to list; without a setting it is the namespace we are in."""
        return tuple(self._client.namespace() if name is None else name for name in self._named())

    def _read(self, memo: Memo, deadline: Deadline, *, trusting: bool) -> _Lists:
        """List all namespaces. Where history went back in one of them, nothing known of any is used."""
        reader = KubeReader(self._client)
        lister = Lister(
            reader,
            self._settings.label_selector,
            self._bulkhead,
            deny_private=self._settings.deny_private,
            clock=self._clock,
            json_servers=self._json_servers,
            trusting=trusting,
        )
        lists = _Lists(reader.server, lister.timing, {}, {})
        known = memo.known if memo.server == reader.server else {}
        self._list_each(lister, self._namespaces(), known, deadline, lists)
        if went_back(memo, lists):
            same = [name for name, one in lists.listed.items() if name in known and one.epoch == known[name].epoch]
            for name in same:
                del lists.listed[name]
            self._list_each(lister, same, {}, deadline, lists)
        return lists

    def _list_each(
        self, lister: Lister, names: Sequence[str], known: Mapping[str, Store], deadline: Deadline, lists: _Lists
    ) -> None:
        """List these namespaces; each may take an even share of the time left."""
        for place, name in enumerate(names):
            try:
                share = Deadline(self._clock, deadline.check() / (len(names) - place))
                lists.listed[name] = self._list(lister, name, known.get(name), share)
            except AttemptError as error:
                lists.failed[name] = error

    def _list(self, lister: Lister, name: str, before: Store | None, deadline: Deadline) -> Store:
        # Asked before the list is: what is told while it runs may well be newer.
        floor = max(before.version, self._versions.highest(name, before.epoch)) if before else UNKNOWN
        found = lister.read(name, before.known if before else {}, deadline, floor)
        serial = next(self._serial)
        epoch = serial if before is None or found.went_back else before.epoch
        return Store(found.known, found.version, serial, self._clock.monotonic(), epoch=epoch)

    def _snapshot(self, previous: Snapshot[Target] | None, lists: _Lists) -> Snapshot[Target]:
        """What is true now, given what was served so far."""
        began = self._clock.monotonic()
        now = self._clock.time()
        causes = {name: f"could not be listed: {error}" for name, error in lists.failed.items()}
        memo, changes = join(memo_of(previous), lists.listed, causes, lists.server)
        items, rejected, digest = serve(surviving(previous, memo), memo, changes, now)
        stats = dict(previous.stats) if previous is not None and previous.stats and changes == [] else counts(memo)
        return Snapshot(
            items=items,
            rejected=rejected,
            digest=digest,
            taken_at=now,
            memo=memo,
            stats=stats
            | {
                "discover_seconds": lists.timing.discover,
                "parse_seconds": lists.timing.parse,
                "validate_seconds": self._clock.monotonic() - began,
            },
            rebase=lambda current: self._snapshot(current, lists),
        )


def went_back(memo: Memo, lists: _Lists) -> list[str]:
    """The namespaces whose history went back since `memo`, on the same server."""
    if memo.server != lists.server:
        return []
    return [name for name, one in lists.listed.items() if name in memo.known and one.epoch != memo.known[name].epoch]


def warn(memo: Memo, lists: _Lists) -> None:
    """Tell of new epochs, and of namespaces whose first list is empty: a server says so of one that does not exist."""
    back = went_back(memo, lists)
    if memo.known and memo.server != lists.server:
        log.warning(
            "The API server is another one; nothing known of the previous one is kept", extra={"kind": "targets"}
        )
    elif back:
        log.warning(
            "resourceVersions went back; everything is read again",
            extra={"kind": "targets", "namespace": ", ".join(back), "error": "the list is older than what was known"},
        )
    for name, one in lists.listed.items():
        if one.epoch == one.serial and not one.known:
            error = f"no Secret matches the label selector in {name_of(name)}"
            log.warning("No Secret was found", extra={"kind": "targets", "namespace": name, "error": error})


def failure(lists: _Lists) -> AttemptError:
    """The error of an attempt in which namespaces failed; of several that were to be listed each one is named."""
    error = worst(lists.failed.values())
    if len(lists.listed) + len(lists.failed) == 1:
        return error
    names: dict[str, list[str]] = {}
    for name, one in lists.failed.items():
        names.setdefault(str(one), []).append(name)
    message = "; ".join(f"namespace {', '.join(same)}: {cause}" for cause, same in names.items())
    if isinstance(error, Transient):
        return Transient(message, error.error_type, error.retry_after)
    return Permanent(message, error.error_type)


def worst(errors: Iterable[AttemptError]) -> AttemptError:
    """The error that stands for several: one that may pass is worth the retry."""
    found = list(errors)
    return next((error for error in found if isinstance(error, Transient)), found[0])
