"""Reads every configured source once, as the daemon would but changing nothing, and tells what came of it."""

from __future__ import annotations

import contextlib
import queue
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alert_refresh.daemon import KINDS
from alert_refresh.engine import ShutdownTimeout, SystemClock, Worker
from alert_refresh.engine.worker import ABANDON_AFTER

if TYPE_CHECKING:
    from alert_refresh.config import Config
    from alert_refresh.engine import Outcome

MARGIN = 1.0


def check_sources(config: Config) -> list[dict[str, Any]]:
    """One entry per kind: `kind`, `source` (None if off), `items`, `rejected`, `error`, `error_type`, `duration_ms`."""
    clock = SystemClock()
    found = []
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
        snapshot = worker.get_status().snapshot
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
    return found


def text(found: list[dict[str, Any]]) -> str:
    """What `check_sources` found, for people."""
    lines = []
    for one in found:
        if one["source"] is None:
            lines.append(f"{one['kind']}: off; to switch them on, {one['off']}")
            continue
        said = f"failed ({one['error_type']}): {one['error']}" if one["error"] else f"{one['items']} read"
        lines.append(f"{one['kind']} from {one['source']}: {said} in {one['duration_ms']} ms")
        for rejected in one["rejected"]:
            place = "/".join(rejected["source"].values())
            lines += [f"  {place}: {fault['field']}: {fault['message']}" for fault in rejected["faults"]]
    return "\n".join(lines)
