"""Assembles what is served from all parsed Secrets: which one gets a name, what stays as stale, the digest."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from alert_refresh.engine import Fault, Rejected
from alert_refresh.targets.gone import DELETED, MAX_LOGGED, log_gone
from alert_refresh.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from alert_refresh.engine import Snapshot

MODULUS = 1 << 256
CONTENT = 128
"""Characters of a digest that are of targets and rejected Secrets; a source may add more."""

log = logging.getLogger(__name__)


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """One parsed Secret. `created` is its creation time: RFC 3339 or Unix seconds; empty or 0 is unknown.

    For example `Candidate(namespace="default", secret="team-a", uid="9f0c", created="2026-01-02T03:04:05Z",
    result=Target(...))`, or with `result=(Fault("url", "schema: is required"),)`.
    """

    namespace: str
    secret: str
    uid: str
    created: str | int
    result: Target | tuple[Fault, ...]


class Assembled(NamedTuple):
    """The content of a snapshot. `rejected` are the Secrets of which nothing is served.

    For example `Assembled(items={"team-a": Target(...)}, rejected=(Rejected({"namespace": "default",
    "secret": "team-b"}, (Fault(...),)),), digest="c0ffee...")`.
    """

    items: Mapping[str, Target]
    rejected: tuple[Rejected, ...]
    digest: str


def assemble(
    found: Iterable[Candidate],
    previous: Snapshot[Target] | None,
    now: float,
    *,
    failed: Mapping[str, str] | None = None,
    unreadable: Sequence[Rejected] = (),
    deleted: str | None = DELETED,
) -> Assembled:
    """Apply the rules that need all Secrets at once. The order of `found` does not matter.

    - Of several Secrets with one name the oldest wins, then the first by namespace and name.
    - A Secret that is invalid keeps its last valid version, stale since `now` or since when it already was,
      unless a valid Secret has its name now. One with a new valid name loses the old one.
    - `failed` maps namespaces that could not be listed to the cause: their targets stay, stale, and keep their
      names, since their Secrets may be unchanged.
    - `unreadable` are parts that hold an unknown number of Secrets; they are listed among the rejected.
    - `deleted` is the logged cause of a name whose Secret is not in `found`; None to log nothing.
    """
    before = previous.items if previous is not None else {}
    items, losers = winners(found)
    rejected = list(unreadable)
    if failed:
        losers += _keep_failed(items, before, failed, now)
        if previous is not None:
            rejected += [one for one in previous.rejected if one.origin.get("namespace") in failed]
    if losers:
        rejected += _keep_stale(items, losers, before, now)
    rejected.sort(key=_order)
    if (
        previous is not None
        and len(items) == len(before)
        and tuple(rejected) == previous.rejected
        and all(before.get(name) is target for name, target in items.items())
    ):
        return Assembled(before, previous.rejected, previous.digest)
    _log_new(items, rejected, previous)
    log_gone(before, items, deleted=deleted)
    ordered = {name: items[name] for name in sorted(items)}
    return Assembled(ordered, tuple(rejected), content_digest(ordered.values(), rejected))


def without(
    previous: Snapshot[Target], lost: Collection[tuple[str, str]], rejected: tuple[Rejected, ...]
) -> Snapshot[Target]:
    """`previous` without the targets of these Secrets (namespace and name), and with `rejected` in place of its own."""
    items = {name: one for name, one in previous.items.items() if (one.namespace, one.secret) not in lost}
    return replace(previous, items=items, rejected=rejected, digest=content_digest(items.values(), rejected))


def winners(found: Iterable[Candidate]) -> tuple[dict[str, Target], list[Candidate]]:
    """The target that gets each name, and all other Secrets, each with its faults."""
    items: dict[str, Target] = {}
    holders: dict[str, Candidate] = {}
    losers = []
    duplicates = []
    for candidate in found:
        target = candidate.result
        if not isinstance(target, Target):
            losers.append(candidate)
            continue
        holder = holders.setdefault(target.name, candidate)
        if holder is not candidate:
            duplicates.append((target.name, max(holder, candidate, key=_seniority)))
            if min(holder, candidate, key=_seniority) is holder:
                continue
            holders[target.name] = candidate
        items[target.name] = target
    losers += [_duplicate(loser, holders[name].namespace, holders[name].secret) for name, loser in duplicates]
    return items, losers


def _keep_failed(
    items: dict[str, Target], before: Mapping[str, Target], failed: Mapping[str, str], now: float
) -> list[Candidate]:
    """Give the targets of namespaces that could not be listed their names back, as stale ones.

    Returns the Secrets elsewhere that claimed such a name.
    """
    losers = []
    for name, target in before.items():
        if target.namespace not in failed:
            continue
        own = tuple(fault for fault in target.faults if fault.field != "namespace")
        rival = items.get(name)
        if rival is not None and own:
            continue
        if rival is not None:
            losers.append(
                _duplicate(Candidate(rival.namespace, rival.secret, "", "", ()), target.namespace, target.secret)
            )
        items[name] = _stale(target, (*own, Fault("namespace", failed[target.namespace])), now)
    return losers


def _keep_stale(
    items: dict[str, Target], losers: list[Candidate], before: Mapping[str, Target], now: float
) -> list[Rejected]:
    """Add the last valid versions of Secrets that are invalid now; returns those that have none."""
    served = {(target.namespace, target.secret) for target in items.values()}
    last = {(target.namespace, target.secret): target for target in before.values()}
    rejected = []
    for loser in sorted(losers, key=_seniority):
        assert not isinstance(loser.result, Target)
        key = loser.namespace, loser.secret
        target = last.get(key)
        if target is None or key in served or target.name in items:
            rejected.append(Rejected({"namespace": loser.namespace, "secret": loser.secret}, loser.result))
        else:
            items[target.name] = _stale(target, loser.result, now)
            served.add(key)
    return rejected


def _stale(target: Target, faults: tuple[Fault, ...], now: float) -> Target:
    """The target as stale; the same object if it already is, with the same faults."""
    if target.stale_since is not None and target.faults == faults:
        return target
    return target.stale(now if target.stale_since is None else target.stale_since, faults)


def _duplicate(loser: Candidate, namespace: str, secret: str) -> Candidate:
    fault = Fault("name", f"duplicate_name: Secret '{escaped(f'{namespace}/{secret}')}' has this name")
    return Candidate(loser.namespace, loser.secret, loser.uid, loser.created, (fault,))


def _seniority(candidate: Candidate) -> tuple[float, str, str, str]:
    """Sort key: the Secret that gets a disputed name is first; unknown age counts as the youngest."""
    age = _seconds(candidate.created)
    return float("inf") if age is None else age, candidate.namespace, candidate.secret, candidate.uid


def _seconds(created: str | int) -> float | None:
    """A creation time in Unix seconds; None if it is unknown."""
    if isinstance(created, int):
        return created or None
    try:
        moment = datetime.fromisoformat(created)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _order(rejected: Rejected) -> tuple[object, ...]:
    return (sorted(rejected.origin.items()), [(fault.field, fault.message) for fault in rejected.faults])


def content_digest(items: Iterable[Target], rejected: Sequence[Rejected]) -> str:
    """A digest of everything that readers can see, independent of the order of `items`.

    The first half is the sum of the targets' own digests, so that `revise` can take one out and put another in.
    """
    total = 0
    states = []
    for target in items:
        total += int.from_bytes(target.digest, "big")
        if target.stale_since is not None:
            states.append((target.name, target.stale_since, _pairs(target.faults)))
    known = msgspec.json.encode((states, [(sorted(one.origin.items()), _pairs(one.faults)) for one in rejected]))
    return f"{total % MODULUS:064x}{sha256(known).hexdigest()}"


def _pairs(faults: tuple[Fault, ...]) -> list[tuple[str, str]]:
    return [(fault.field, fault.message) for fault in faults]


def _log_new(items: Mapping[str, Target], rejected: Sequence[Rejected], previous: Snapshot[Target] | None) -> None:
    """Log a WARNING for each Secret that is newly invalid or has other faults than before, up to a limit."""
    before = previous.items if previous is not None else {}
    known = {(_names(one), one.faults) for one in previous.rejected} if previous is not None else set()
    new = [
        ("Target is stale: %s", name, target.faults)
        for name, target in items.items()
        if target.stale_since is not None and before.get(name) is not target
    ]
    new += [
        ("Secret is rejected: %s", f"'{escaped(_names(one))}'", one.faults)
        for one in rejected
        if (_names(one), one.faults) not in known
    ]
    for message, name, faults in new[:MAX_LOGGED]:
        error = "; ".join(f"{fault.field}: {fault.message}" for fault in faults)
        log.warning(message, name, extra={"kind": "targets", "error": escaped(error)})
    if len(new) > MAX_LOGGED:
        log.warning("%d more Secrets are invalid", len(new) - MAX_LOGGED, extra={"kind": "targets"})


def escaped(text: str) -> str:
    """The text as ASCII on one line; existing escapes are kept."""
    return ascii(text)[1:-1].replace("\\\\", "\\")


def _names(rejected: Rejected) -> str:
    return "/".join(rejected.origin.values())
