"""Targets from the Secrets of a Kubernetes cluster: every page of each list, parsed where it changed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from alert_refresh.engine import AttemptError, Deadline, Fault, Partial, Permanent, Snapshot, Transient
from alert_refresh.targets import secret_list
from alert_refresh.targets.assemble import Candidate, assemble
from alert_refresh.targets.kube_client import KubeClient
from alert_refresh.targets.kube_errors import Gone
from alert_refresh.targets.kube_reader import KubeReader
from alert_refresh.targets.target import Target, parse_base64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from alert_refresh.engine import Clock, Request, Trigger, Watch
    from alert_refresh.targets import Settings

PAGE = 2000
"""Secrets asked for at once: decoding a page keeps other threads waiting for about 3 ms (all of 10,000 for 13 ms),
and the further requests cost a tenth more time than one for everything."""
MAX_PAGES = 1000

EVERYWHERE = "*"

log = logging.getLogger(__name__)

Known = dict[str, tuple[str, Candidate]]
"""Secrets by uid: their resourceVersion and what was made of it."""


@dataclass(slots=True)
class Timing:
    """Seconds spent on reading lists and on parsing Secrets."""

    discover: float = 0.0
    parse: float = 0.0


@dataclass(frozen=True, slots=True)
class Memo:
    """What the next refresh need not parse again, by namespace as it is listed."""

    known: Mapping[str, Known] = field(default_factory=dict)


class KubernetesSource:
    """Lists the Secrets that the label selector finds, in the namespaces of the settings."""

    name = "kubernetes"

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._client = KubeClient(settings.kubeconfig, in_pod=settings.in_pod, clock=clock)

    def refresh(self, previous: Snapshot[Target] | None, request: Request, deadline: Deadline) -> Snapshot[Target]:
        """List everything; see `Source`.

        With several namespaces each may take an even share of the time left. One that fails keeps its last good
        targets, stale, while the others are published.

        Raises:
            Transient, Permanent: no namespace could be listed.
            Partial: some could not.
        """
        memo = previous.memo if previous is not None and isinstance(previous.memo, Memo) else Memo()
        reader, timing = KubeReader(self._client), Timing()
        known: dict[str, Known] = {}
        failed: dict[str, AttemptError] = {}
        namespaces = self._namespaces()
        for number, namespace in enumerate(namespaces):
            try:
                share = Deadline(self._clock, deadline.check() / (len(namespaces) - number))
                known[namespace] = self._list(reader, namespace, memo.known.get(namespace, {}), share, timing)
            except AttemptError as error:
                failed[namespace] = error
        if any(isinstance(error, Permanent) for error in failed.values()):
            self._client.reset()
        if not known:
            raise worst(failed.values())
        return self._published(previous, known, failed, memo, timing)

    def watch(self, notify: Callable[[Trigger], None]) -> Watch | None:
        """None: changes are found by the periodic refresh."""
        return None

    def close(self) -> None:
        """Close the connections."""
        self._client.reset()

    def _namespaces(self) -> tuple[str, ...]:
        """What to list; everywhere includes every other."""
        named = self._settings.namespaces
        if EVERYWHERE in named:
            return (EVERYWHERE,)
        return tuple(dict.fromkeys(named)) or (self._client.namespace(),)

    def _list(self, reader: KubeReader, namespace: str, known: Known, deadline: Deadline, timing: Timing) -> Known:
        """All Secrets of a namespace; a list that expires while it is read is begun anew, once."""
        try:
            return self._pages(reader, namespace, known, deadline, timing)
        except Gone:
            return self._pages(reader, namespace, known, deadline, timing)

    def _pages(self, reader: KubeReader, namespace: str, known: Known, deadline: Deadline, timing: Timing) -> Known:
        path = (
            "/api/v1/secrets" if namespace == EVERYWHERE else f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets"
        )
        query = {"labelSelector": self._settings.label_selector, "limit": str(PAGE)}
        found: Known = {}
        tokens: set[str] = set()
        while True:
            began = self._clock.monotonic()
            page = secret_list.decode(reader.get(path, query, deadline))
            read = self._clock.monotonic()
            for secret in page.items:
                old = known.get(secret.metadata.uid)
                if old is None or old[0] != secret.metadata.resourceVersion:
                    old = secret.metadata.resourceVersion, self._candidate(secret)
                found[secret.metadata.uid] = old
            timing.discover += read - began
            timing.parse += self._clock.monotonic() - read
            deadline.check()
            token = page.metadata.next_page
            if not token:
                return found
            if token in tokens:
                raise Transient("the API server's list goes in a circle", "parse")
            if len(tokens) + 1 >= MAX_PAGES:
                raise Permanent(f"the API server's list has more than {MAX_PAGES} pages", "too_large")
            tokens.add(token)
            query = query | {"continue": token}

    def _candidate(self, secret: secret_list.Secret) -> Candidate:
        about = secret.metadata
        result: Target | tuple[Fault, ...]
        try:
            values = secret_list.values(secret.data)
        except ValueError:
            result = (Fault("data", "bad_data: is not a mapping"),)
        else:
            result = parse_base64(
                values, namespace=about.namespace, secret=about.name, deny_private=self._settings.deny_private
            )
        return Candidate(about.namespace, about.name, about.uid, about.creationTimestamp or "", result)

    def _published(
        self,
        previous: Snapshot[Target] | None,
        listed: dict[str, Known],
        failed: Mapping[str, AttemptError],
        memo: Memo,
        timing: Timing,
    ) -> Snapshot[Target]:
        """What is true now.

        Raises:
            Partial: some namespaces failed.
        """
        candidates = [candidate for known in listed.values() for _, candidate in known.values()]
        if not candidates and previous is None:
            log.warning(
                "No Secret was found", extra={"kind": "targets", "error": "no Secret matches the label selector"}
            )
        began = self._clock.monotonic()
        now = self._clock.time()
        causes = {namespace: f"could not be listed: {error}" for namespace, error in failed.items()}
        items, rejected, digest = assemble(candidates, previous, now, failed=causes)
        valid = sum(isinstance(candidate.result, Target) for candidate in candidates)
        old = {namespace: memo.known[namespace] for namespace in failed if namespace in memo.known}
        snapshot = Snapshot(
            items=items,
            rejected=rejected,
            digest=digest,
            taken_at=now,
            memo=Memo(listed | old),
            stats={
                "discover_seconds": timing.discover,
                "parse_seconds": timing.parse,
                "validate_seconds": self._clock.monotonic() - began,
                "secrets_valid": valid,
                "secrets_invalid": len(candidates) - valid,
                "secrets_skipped": 0,
            },
        )
        if failed:
            raise Partial(snapshot, worst(failed.values()))
        return snapshot


def worst(errors: Iterable[AttemptError]) -> AttemptError:
    """The error that stands for several: one that may pass is worth the retry."""
    found = list(errors)
    return next((error for error in found if isinstance(error, Transient)), found[0])
