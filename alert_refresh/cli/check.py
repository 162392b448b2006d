"""Reads every configured source once, as the daemon would but without side effects, and reports the results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from alert_refresh import daemon as kinds
from alert_refresh.cli.once import attempt
from alert_refresh.engine import AttemptError, Deadline, Earliest, SystemClock
from alert_refresh.engine.attempt_threads import ABANDON_AFTER
from alert_refresh.engine.threads import Call, spawn
from alert_refresh.kind import it, load
from alert_refresh.observe.formats import escape, timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.config import Config
    from alert_refresh.engine import Schedule, Snapshot, Worker
    from alert_refresh.kind import Kind
    from alert_refresh.targets.kubernetes.rights import Right


def check_sources(config: Config) -> list[dict[str, Any]]:
    """One entry per kind: `kind`, `source` (None if off), `items`, `rejected`, `error`, `error_type`, `duration_ms`.

    With items that were left out also `skipped`, the first of them with the reason, and `skipped_count`. With cron
    expressions also `schedule` and `next_refresh`. A kind's own `check` may add fields. A source that needs rights also
    has `missing_rights`, and if there are any, `role`: the manifests that grant them. Alertmanager has `instances`, and
    what was `unchecked`.
    """
    found: dict[str, tuple[dict[str, Any], Snapshot[Any] | None]] = {}
    before: dict[str, Worker[Any]] = {}
    for kind in kinds.KINDS:
        found[kind.name] = _checked(kind, config.kinds[kind.name], before)
    snapshots = {name: snapshot for name, (_, snapshot) in found.items()}
    for kind in kinds.KINDS:
        entry, _ = found[kind.name]
        if kind.check and entry["source"] is not None:
            entry |= load(kind.check)(snapshots)
    return [entry for entry, _ in found.values()]


def _checked(kind: Kind, settings: Any, before: dict[str, Worker[Any]]) -> tuple[dict[str, Any], Snapshot[Any] | None]:
    """The entry of one kind, and its snapshot; its worker is added to those `before` the next kind."""
    clock = SystemClock()
    entry: dict[str, Any] = {"kind": kind.name, "source": None, "items": 0, "rejected": [], "error": None}
    source = (kind.build_check or kind.build)(settings, clock, before)
    if source is None:
        return entry | {"off": kind.enable_hint}, None
    made = attempt(kind, settings, source)
    before[kind.name] = made.worker
    snapshot = made.status.snapshot
    entry |= {"source": source.name, "rejected": _rejected(snapshot)} | made.fields()
    entry |= _schedule(settings.refresh.schedule, clock.time())
    if snapshot is not None and snapshot.skipped_count:
        entry |= {"skipped": _skipped(snapshot), "skipped_count": snapshot.skipped_count}
    if isinstance(source, Authorized):
        entry |= _rights(source, made.timeout)
        source.close()
    return entry, snapshot


def _schedule(schedule: Schedule | None, now: float) -> dict[str, Any]:
    """The cron expressions of a kind, and their first tick; empty without any."""
    if not isinstance(schedule, Earliest) or not schedule.crons:
        return {}
    first = min(cron.next(now) for cron in schedule.crons)
    return {"schedule": str(schedule), "next_refresh": timestamp(first).replace(".000Z", "Z")}


def _rejected(snapshot: Snapshot[Any] | None) -> list[dict[str, Any]]:
    """The rejected items of a snapshot."""
    return [
        {"source": dict(one.origin), "faults": [fault.fields() for fault in one.faults]}
        for one in (snapshot.rejected if snapshot else ())
    ]


def _skipped(snapshot: Snapshot[Any]) -> list[dict[str, Any]]:
    """The first of what was left out of what was read."""
    return [{"source": dict(one.origin), "reason": one.reason} for one in snapshot.skipped]


@runtime_checkable
class Authorized(Protocol):
    """A source that can report which of the rights it needs are missing."""

    def missing_rights(self, deadline: Deadline) -> Sequence[Right]:
        """The missing rights: namespace and verb."""

    def role(self, rights: Sequence[Right], deadline: Deadline) -> str:
        """The manifests that grant these rights."""

    def close(self) -> None:
        """Release connections."""


def _rights(source: Authorized, timeout: float) -> dict[str, Any]:
    """The missing rights of a source, and the manifests that grant them; empty if the check fails or times out."""
    deadline = Deadline(SystemClock(), timeout)

    def ask() -> tuple[Sequence[Right], str]:
        lacked = source.missing_rights(deadline)
        return lacked, source.role(lacked, deadline) if lacked else ""

    asked = Call(ask)
    spawn("check-rights", asked.run)
    if not asked.ended.wait(timeout + ABANDON_AFTER):
        return {}
    try:
        lacked, role = asked.result()
    except AttemptError:
        return {}
    fields = [{"namespace": one.namespace, "verb": one.verb, "resource": "secrets"} for one in lacked]
    return {"missing_rights": fields, "role": role} if lacked else {"missing_rights": []}


def text(found: list[dict[str, Any]]) -> str:
    """The result of `check_sources` as text, with unprintable characters escaped."""
    lines = []
    for one in found:
        if one["source"] is None:
            lines.append(f"{one['kind']}: off; to switch {it(one['kind'])} on, {one['off']}")
            continue
        read = f"{one['items']} read in {one['duration_ms']} ms"
        said = f"failed ({one['error_type']}): {one['error']}" if one["error"] else read
        lines.append(f"{one['kind']} from {one['source']}: {said}")
        if "schedule" in one:
            lines.append(f"  by the schedule {one['schedule']}, next at {one['next_refresh']}")
        for right in one.get("missing_rights", ()):
            where = "all namespaces" if right["namespace"] == "*" else f"namespace {right['namespace']}"
            lines.append(f"  the right to {right['verb']} {right['resource']} in {where} is missing")
        if "role" in one:
            lines += ["To grant the rights, apply:", *one["role"].rstrip().splitlines()]
        for rejected in one["rejected"]:
            place = "/".join(rejected["source"].values())
            lines += [f"  {place}: {fault['field']}: {fault['message']}" for fault in rejected["faults"]]
        lines += [f"  Alertmanager {at['url']}: {at['error'] or at['version']}" for at in one.get("instances", ())]
        left_out = one.get("skipped", ())
        lines += [f"  {'/'.join(skipped['source'].values())}: skipped: {skipped['reason']}" for skipped in left_out]
        if one.get("skipped_count", 0) > len(left_out):
            lines.append(f"  and {one['skipped_count'] - len(left_out)} more skipped")
        lines += [f"  {said}" for said in (*one.get("warnings", ()), *one.get("unchecked", ()))]
    return "\n".join(escape(line) for line in lines)
