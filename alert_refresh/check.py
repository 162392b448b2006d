"""Reads every configured source once, as the daemon would but changing nothing, and tells what came of it."""

from __future__ import annotations

import contextlib
import queue
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from alert_refresh.daemon import KINDS
from alert_refresh.dangling import dangling, listed
from alert_refresh.engine import AttemptError, Deadline, ShutdownTimeout, SystemClock, Worker
from alert_refresh.engine.worker import ABANDON_AFTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alert_refresh.config import Config
    from alert_refresh.engine import Outcome, Snapshot

MARGIN = 1.0


def check_sources(config: Config) -> list[dict[str, Any]]:
    """One entry per kind: `kind`, `source` (None if off), `items`, `rejected`, `error`, `error_type`, `duration_ms`.

    Rules have `dangling_targets`, the first of those that rules name and that do not exist, and their count.
    One of Kubernetes also has `missing_rights`, and then `role`: the manifests that grant them.
    """
    clock = SystemClock()
    found = []
    read: dict[str, Snapshot[Any] | None] = {}
    for module in KINDS:
        settings = config.kinds[module.KIND.name]
        build = getattr(module, "build_check", module.build)
        source = build(settings, clock)
        entry: dict[str, Any] = {"kind": module.KIND.name, "source": None, "items": 0, "rejected": [], "error": None}
        found.append(entry)
        if source is None:
            entry["off"] = module.OFF
            continue
        ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        once = replace(settings.refresh, max_retries=0)
        worker = Worker(module.KIND, source, once, clock=clock, listeners=[ended.put])
        worker.start()
        outcome = ended.get(timeout=once.timeout + ABANDON_AFTER + MARGIN)
        snapshot = read[module.KIND.name] = worker.get_status().snapshot
        with contextlib.suppress(ShutdownTimeout):
            worker.stop(MARGIN)
        entry |= {
            "source": source.name,
            "items": outcome.items,
            "error": outcome.error,
            "error_type": outcome.error_type,
            "duration_ms": round(outcome.duration * 1000),
            "rejected": [
                {"source": dict(one.origin), "faults": [{"field": f.field, "message": f.message} for f in one.faults]}
                for one in (snapshot.rejected if snapshot else ())
            ],
        }
        if isinstance(source, Authorized):
            entry |= _rights(source, once.timeout)
            source.close()
    pairs = dangling(read.get("rules"), read.get("targets"))
    for entry in found:
        if entry["kind"] == "rules" and entry["source"] is not None:
            entry |= {"dangling_targets": listed(pairs), "dangling_targets_count": len(pairs)}
    return found


@runtime_checkable
class Authorized(Protocol):
    """A source that needs rights and can tell which of them it lacks."""

    def missing_rights(self, deadline: Deadline) -> Sequence[tuple[str, str]]:
        """Pairs of namespace and verb."""

    def close(self) -> None:
        """Release connections."""


def _rights(source: Authorized, timeout: float) -> dict[str, Any]:
    """What a source may not do, and the manifests that would allow it; nothing if nobody tells."""
    from alert_refresh.targets.kube_rights import Right, manifests

    try:
        lacked = [Right(*one) for one in source.missing_rights(Deadline(SystemClock(), timeout))]
    except AttemptError:
        return {}
    fields = [{"namespace": one.namespace, "verb": one.verb, "resource": "secrets"} for one in lacked]
    return {"missing_rights": fields, "role": manifests(lacked)} if lacked else {"missing_rights": []}


def text(found: list[dict[str, Any]]) -> str:
    """What `check_sources` found, for people."""
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
            lines += ["To grant the rights to the service account alert-refresh, apply:", one["role"].rstrip()]
        for rejected in one["rejected"]:
            place = "/".join(rejected["source"].values())
            lines += [f"  {place}: {fault['field']}: {fault['message']}" for fault in rejected["faults"]]
        pairs = one.get("dangling_targets", ())
        lines += [f"  rule {pair['rule']} names target {pair['target']}, which does not exist" for pair in pairs]
        if one.get("dangling_targets_count", 0) > len(pairs):
            lines.append(f"  and so {one['dangling_targets_count'] - len(pairs)} times more")
    return "\n".join(lines)
