"""Targets from the Secrets of a Kubernetes cluster: each refresh lists all of them, watches run in between."""

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
from alert_refresh.targets.kubernetes.selective import ListNeeded, SelectiveRefresh
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
"""Triggers for which the store is taken to be correct: a list of metadata is enough. Any other may mean lost events."""


@dataclass(frozen=True, slots=True)
class _Lists:
    """What one attempt read from one `server`, by namespace: the lists, and the errors of those that failed."""

    server: str
    timing: Timing
    listed: dict[str, Store]
    failed: dict[str, AttemptError]


class KubernetesSource:
    """The Secrets that match the label selector, in the configured namespaces."""

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
        self._selective = SelectiveRefresh(self._client, settings, clock, self._bulkhead)
        self._reflectors: Sequence[Reflector] = ()
        self._begun = 0  # the serial that was drawn when everything was last begun to be listed

    def refresh(self, previous: Snapshot[Target] | None, request: Request, deadline: Deadline) -> Snapshot[Target]:
        """List everything, or read the target `request.scope` alone while all else is known to be good; see `Source`.

        Raises:
            Transient, Permanent: no namespace could be listed, or the Secret of that target cannot be read.
            Partial: some namespaces could not be listed.
        """
        if request.scope is not None:
            try:
                self._demand_whole(memo_of(previous) or Memo())
                return self._selective.refresh(previous, request, deadline)
            except ListNeeded as reason:
                log.info("Everything is listed instead of one target", extra={"kind": "targets", "error": str(reason)})
            except AttemptError as error:
                self._reset_after(error)
                raise
        return self._list_everything(previous, request, deadline)

    def _demand_whole(self, memo: Memo) -> None:
        """Raise `ListNeeded` if a list of everything might tell more than is known.

        Raises:
            Transient, Permanent: the configuration cannot be read.
        """
        if any(one.serial < self._begun for one in memo.known.values()):
            raise ListNeeded("the last list of everything failed")
        if any(one.in_doubt for one in self._reflectors):
            raise ListNeeded("a watch may have lost events")
        if memo.known.keys() != set(self._namespaces()):
            raise ListNeeded("other namespaces are to be listed")

    def _list_everything(
        self, previous: Snapshot[Target] | None, request: Request, deadline: Deadline
    ) -> Snapshot[Target]:
        """List every namespace.

        With several namespaces each may take an even share of the time left. One that fails keeps its last good
        targets, stale, while the others are published. A list that is older than what was known, or that comes from
        another server, starts a new epoch: the earlier state is discarded, and the list replaces what was served.

        Raises:
            Transient, Permanent: no namespace could be listed.
            Partial: some could not.
        """
        self._begun = next(self._serial)
        memo = memo_of(previous) or Memo()
        lists = self._read(memo, deadline, trusting=request.trigger in TRUSTING)
        self._reset_after(*lists.failed.values())
        if not lists.listed:
            raise failure(lists)
        warn(memo, lists)
        snapshot = self._snapshot(previous, lists)
        if lists.failed:
            raise Partial(snapshot, failure(lists))
        return snapshot

    def watches(self, sink: Sink) -> Sequence[Watch]:
        """A reflector for each namespace (or one for all), the applier of their events, and watches on the files with
        our credentials.
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
                versions=self._versions,
                clock=self._clock,
                timings=self._timings,
            )
            for name in names
        ]
        self._reflectors = applier.reflectors
        return (*applier.reflectors, applier, *access_watches(self._client.files(), sink))

    def close(self) -> None:
        """Close the connections."""
        self._client.reset()

    def missing_rights(self, deadline: Deadline) -> list[Right]:
        """The rights this source needs and does not have.

        Raises:
            Transient, Permanent: the API server could not be asked.
        """
        verbs = VERBS if self._settings.watch else VERBS[:-1]
        return missing(self._client, [Right(one, verb) for one in self._namespaces() for verb in verbs], deadline)

    def role(self, rights: Sequence[Right], deadline: Deadline) -> str:
        """The manifests that grant these rights to the identity we use.

        Raises:
            Transient, Permanent: the configuration cannot be read.
        """
        return manifests(rights, subject(self._client, deadline))

    def _reset_after(self, *errors: AttemptError) -> None:
        """Connect anew if TLS failed: a plugin may have made the client certificate."""
        if any(error.error_type == "tls" for error in errors):
            self._client.reset()

    def _named(self) -> tuple[str | None, ...]:
        """The namespaces to list as configured, None for our own; `*` includes every other."""
        named = self._settings.namespaces
        if EVERYWHERE in named:
            return (EVERYWHERE,)
        return tuple(dict.fromkeys(named)) or (None,)

    def _namespaces(self) -> tuple[str, ...]:
        """The namespaces to list; without a setting the one of the pod or of the kubeconfig."""
        return tuple(self._client.namespace() if name is None else name for name in self._named())

    def _read(self, memo: Memo, deadline: Deadline, *, trusting: bool) -> _Lists:
        """List all namespaces. If history went back in one of them, the earlier state of none is used."""
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
        # Read before the list is requested: events that arrive while it runs may be newer than the list.
        told = (self._versions, self._selective.versions)
        floor = max(before.version, *(one.highest(name, before.epoch) for one in told)) if before else UNKNOWN
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
        counted = previous is not None and previous.stats and "selective" not in previous.stats
        stats = dict(previous.stats) if previous is not None and counted and changes == [] else counts(memo)
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
    """Log new epochs, and namespaces whose first list is empty: the API server answers so if one does not exist."""
    back = went_back(memo, lists)
    if memo.known and memo.server != lists.server:
        log.warning(
            "The API server is a different one; the state of the previous one is discarded", extra={"kind": "targets"}
        )
    elif back:
        log.warning(
            "resourceVersions went back; all Secrets are read again",
            extra={"kind": "targets", "namespace": ", ".join(back), "error": "the list is older than the store"},
        )
    for name, one in lists.listed.items():
        if one.epoch == one.serial and not one.known:
            error = f"no Secret matches the label selector in {name_of(name)}"
            log.warning("No Secret was found", extra={"kind": "targets", "namespace": name, "error": error})


def failure(lists: _Lists) -> AttemptError:
    """The error of an attempt in which namespaces failed; it names them if several were to be listed."""
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
    """The error to raise for several: a transient one if there is one, since that is retried."""
    found = list(errors)
    return next((error for error in found if isinstance(error, Transient)), found[0])
