"""Targets from the Secrets of a Kubernetes cluster: listed in whole by each refresh, watched in between."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING

from alert_refresh.engine import AttemptError, Deadline, Partial, Permanent, Snapshot, Transient
from alert_refresh.targets.access_watch import access_watches
from alert_refresh.targets.applier import Applier
from alert_refresh.targets.bulkhead import Bulkhead
from alert_refresh.targets.kube_client import KubeClient
from alert_refresh.targets.kube_list import EVERYWHERE, Lister
from alert_refresh.targets.kube_reader import KubeReader
from alert_refresh.targets.kube_rights import VERBS, Right, missing
from alert_refresh.targets.kube_snapshot import Memo, counts, join, memo_of, serve
from alert_refresh.targets.listed import Listed, number
from alert_refresh.targets.pace import Pace
from alert_refresh.targets.reflector import Reflector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alert_refresh.engine import Clock, Request, Sink, Watch
    from alert_refresh.targets import Settings
    from alert_refresh.targets.kube_list import Timing
    from alert_refresh.targets.target import Target

log = logging.getLogger(__name__)


class KubernetesSource:
    """The Secrets that the label selector finds, in the namespaces of the settings."""

    name = "kubernetes"

    def __init__(self, settings: Settings, clock: Clock, pace: Pace | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._pace = pace or Pace()
        self._client = KubeClient(settings.kubeconfig, in_pod=settings.in_pod, clock=clock)
        self._serial = itertools.count(1)
        self._bulkhead = Bulkhead()

    def refresh(self, previous: Snapshot[Target] | None, request: Request, deadline: Deadline) -> Snapshot[Target]:
        """List everything; see `Source`.

        With several namespaces each may take an even share of the time left. One that fails keeps its last good
        targets, stale, while the others are published.

        Raises:
            Transient, Permanent: no namespace could be listed.
            Partial: some could not.
        """
        memo = memo_of(previous) or Memo()
        lister = Lister(
            KubeReader(self._client),
            self._settings.label_selector,
            self._bulkhead,
            deny_private=self._settings.deny_private,
            clock=self._clock,
        )
        listed: dict[str, Listed] = {}
        failed: dict[str, AttemptError] = {}
        namespaces = self._namespaces()
        for place, namespace in enumerate(namespaces):
            try:
                share = Deadline(self._clock, deadline.check() / (len(namespaces) - place))
                before = memo.known.get(namespace)
                known, version = lister.read(namespace, before.known if before else {}, share)
                listed[namespace] = Listed(known, number(version), next(self._serial), self._clock.monotonic())
            except AttemptError as error:
                failed[namespace] = error
        if any(isinstance(error, Permanent) for error in failed.values()):
            self._client.reset()
        if not listed:
            raise worst(failed.values())
        causes = {namespace: f"could not be listed: {error}" for namespace, error in failed.items()}
        snapshot = self._snapshot(previous, listed, causes, lister.timing)
        if not snapshot.items and not snapshot.rejected and previous is None:
            log.warning(
                "No Secret was found", extra={"kind": "targets", "error": "no Secret matches the label selector"}
            )
        if failed:
            raise Partial(snapshot, worst(failed.values()))
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
                clock=self._clock,
                pace=self._pace,
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

    def _named(self) -> tuple[str | None, ...]:
        """What to list, as far as the settings say; everywhere includes every other."""
        named = self._settings.namespaces
        if EVERYWHERE in named:
            return (EVERYWHERE,)
        return tuple(dict.fromkeys(named)) or (None,)

    def _namespaces(self) -> tuple[str, ...]:
        """What to list; without a setting it is the namespace we are in."""
        return tuple(self._client.namespace() if name is None else name for name in self._named())

    def _snapshot(
        self,
        previous: Snapshot[Target] | None,
        listed: Mapping[str, Listed],
        failed: Mapping[str, str],
        timing: Timing,
    ) -> Snapshot[Target]:
        """What is true now, given what was served so far."""
        began = self._clock.monotonic()
        now = self._clock.time()
        memo, changes = join(memo_of(previous), listed, failed)
        items, rejected, digest = serve(previous, memo, changes, now)
        stats = dict(previous.stats) if previous is not None and previous.stats and changes == [] else counts(memo)
        return Snapshot(
            items=items,
            rejected=rejected,
            digest=digest,
            taken_at=now,
            memo=memo,
            stats=stats
            | {
                "discover_seconds": timing.discover,
                "parse_seconds": timing.parse,
                "validate_seconds": self._clock.monotonic() - began,
            },
            rebase=lambda current: self._snapshot(current, listed, failed, timing),
        )


def worst(errors: Iterable[AttemptError]) -> AttemptError:
    """The error that stands for several: one that may pass is worth the retry."""
    found = list(errors)
    return next((error for error in found if isinstance(error, Transient)), found[0])
