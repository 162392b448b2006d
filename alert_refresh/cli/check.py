"""Reads every configured source once, as the daemon would but changing nothing, and tells what came of it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from alert_refresh.daemon import KINDS
from alert_refresh.engine import AttemptError, Deadline, ShutdownTimeout, SystemClock, Worker
from alert_refresh.engine.errors import TIMEOUT
from alert_refresh.engine.threads import Call, spawn
from alert_refresh.engine.worker import ABANDON_AFTER
from alert_refresh.observe.formats import escape
from alert_refresh.rules.dangling import dangling, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.config import Config
    from alert_refresh.daemon import KindModule
    from alert_refresh.engine import Request, Snapshot, Source, Watch
    from alert_refresh.engine.source import Sink
    from alert_refresh.targets.kubernetes.rights import Right

MARGIN = 10.0
"""Seconds beyond those in which the engine gives up an attempt that hangs."""


class Unwatched:
    """A source as it is refreshed, without its watches."""

    def __init__(self, source: Source[Any]) -> None:
        self.name = source.name
        self.refresh = source.refresh
        self.close = source.close

    def watches(self, sink: Sink) -> Sequence[Watch]:
        """None: nothing but the one refresh that is asked for shall begin."""
        return ()


def check_sources(config: Config) -> list[dict[str, Any]]:
    """One entry per kind: `kind`, `source` (None if off), `items`, `rejected`, `error`, `error_type`, `duration_ms`.

    `skipped` is there if something was left out: the first of it, each with the reason, and `skipped_count`.

    Rules have `dangling_targets`, the first of those that rules name and that do not exist, and their count.
    One of Kubernetes also has `missing_rights`, and then `role`: the manifests that grant them.
    """
    found = {module.KIND.name: _checked(module, config.kinds[module.KIND.name]) for module in KINDS}
    entry, rules = found["rules"]
    if entry["source"] is not None:
        pairs = dangling(rules, found["targets"][1])
        entry |= {"dangling_targets": listed(pairs), "dangling_targets_count": len(pairs)}
    return [entry for entry, _ in found.values()]


def _checked(module: KindModule, settings: Any) -> tuple[dict[str, Any], Snapshot[Any] | None]:
    """The entry of one kind, and what was read of it."""
    clock = SystemClock()
    entry: dict[str, Any] = {"kind": module.KIND.name, "source": None, "items": 0, "rejected": [], "error": None}
    source: Source[Any] | None = getattr(module, "build_check", module.build)(settings, clock)
    if source is None:
        return entry | {"off": module.OFF}, None
    once = replace(settings.refresh, max_retries=0, paused=True)
    worker = Worker(module.KIND, Unwatched(source), once, clock=clock)
    worker.start()
    request = worker.refresh_now()
    request.done.wait(once.timeout + ABANDON_AFTER + MARGIN)
    snapshot = worker.get_status().snapshot
    with contextlib.suppress(ShutdownTimeout):
        worker.stop(MARGIN)
    entry |= {"source": source.name, "rejected": _rejected(snapshot)} | _outcome(request, once.timeout)
    if snapshot is not None and snapshot.skipped_count:
        entry |= {"skipped": _skipped(snapshot), "skipped_count": snapshot.skipped_count}
    if isinstance(source, Authorized):
        entry |= _rights(source, once.timeout)
        source.close()
    return entry, snapshot


def _outcome(request: Request, timeout: float) -> dict[str, Any]:
    """What came of the one attempt."""
    outcome = request.outcome
    if outcome is None:
        error = f"no attempt ended within {timeout + ABANDON_AFTER + MARGIN:g} s"
        return {"error": error, "error_type": TIMEOUT, "duration_ms": round((timeout + ABANDON_AFTER + MARGIN) * 1000)}
    return {
        "items": outcome.items,
        "error": outcome.error,
        "error_type": outcome.error_type,
        "duration_ms": round(outcome.duration * 1000),
    }


def _rejected(snapshot: Snapshot[Any] | None) -> list[dict[str, Any]]:
    """What could not be used of what was read."""
    return [
        {"source": dict(one.origin), "faults": [{"field": f.field, "message": f.message} for f in one.faults]}
        for one in (snapshot.rejected if snapshot else ())
    ]


def _skipped(snapshot: Snapshot[Any]) -> list[dict[str, Any]]:
    """The first of what was left out of what was read."""
    return [{"source": dict(one.origin), "reason": one.reason} for one in snapshot.skipped]


@runtime_checkable
class Authorized(Protocol):
    """A source that needs rights and can tell which of them it lacks."""

    def missing_rights(self, deadline: Deadline) -> Sequence[Right]:
        """Pairs of namespace and verb."""

    def role(self, rights: Sequence[Right], deadline: Deadline) -> str:
        """The manifests that grant these rights."""

    def close(self) -> None:
        """Release connections."""


def _rights(source: Authorized, timeout: float) -> dict[str, Any]:
    """What a source may not do, and the manifests that would allow it; nothing if nobody tells in time."""
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
    """What `check_sources` found, for people. A name or a message may hold anything; what is shown prints."""
    lines = []
    for one in found:
        if one["source"] is None:
            lines.append(f"{one['kind']}: off; to switch them on, {one['off']}")
            continue
        said = f"failed ({one['error_type']}): {one['error']}" if one["error"] else f"{one['items']} read"
        lines.append(f"{one['kind']} from {one['source']}: {said} in {one['duration_ms']} ms")
        for right in one.get("missing_rights", ()):
            where = "all namespaces" if right["namespace"] == "*" else f"namespace {right['namespace']}"
            lines.append(f"  the right to {right['verb']} {right['resource']} in {where} is missing")
        if "role" in one:
            lines += ["To grant the rights, apply:", *one["role"].rstrip().splitlines()]
        for rejected in one["rejected"]:
            place = "/".join(rejected["source"].values())
            lines += [f"  {place}: {fault['field']}: {fault['message']}" for fault in rejected["faults"]]
        left_out = one.get("skipped", ())
        lines += [f"  {'/'.join(skipped['source'].values())}: skipped: {skipped['reason']}" for skipped in left_out]
        if one.get("skipped_count", 0) > len(left_out):
            lines.append(f"  and {one['skipped_count'] - len(left_out)} more skipped")
        pairs = one.get("dangling_targets", ())
        lines += [f"  rule {pair['rule']} names target {pair['target']}, which does not exist" for pair in pairs]
        if one.get("dangling_targets_count", 0) > len(pairs):
            lines.append(f"  and {one['dangling_targets_count'] - len(pairs)} more")
    return "\n".join(escape(line) for line in lines)
