"""One sentence about everything: whether it is fresh, else what is not, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alert_refresh import daemon as kinds
from alert_refresh.kind import load
from alert_refresh.observe.formats import escape
from alert_refresh.web.answers import rfc3339
from alert_refresh.web.health import HEALTHY, health

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from alert_refresh.daemon import Daemon
    from alert_refresh.engine import Snapshot, Status, Worker
    from alert_refresh.kind import Remark

NOTHING = "Nothing is configured."
LONGEST_ERROR = 160
"""Characters of the cause of a failure."""
MAX_NAMES = 2
"""Names of faulty items that are listed, for each fault."""

Stale = tuple[float, tuple[str, ...], int]
"""Since when, in Unix seconds, the first names, and how many there are."""


class Summary:
    """The sentence for a daemon, as it is when called.

    It names times and no ages, so that it changes only when something has happened: `Everything is fresh: 4 targets,
    13 rules.` or `Not fresh: targets (1 stale since 2026-11-26 10:03:05 UTC: slack-platform; 2 rejected).`. Which items
    are stale is looked up once for each snapshot, so that a call costs microseconds.

    It is the first line of the status page, whose levels in `page/static/words.js` know the same faults.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        on = (kind for kind in kinds.KINDS if kind.name in daemon.workers)
        self._remarks = {kind.name: load(kind.remarks) for kind in on if kind.remarks}
        self._stale: dict[str, tuple[Snapshot[Any], tuple[str, ...], Stale | None]] = {}

    def __call__(self) -> str:
        """The sentence: printable, in one line, without credentials."""
        workers = self._daemon.workers
        if not workers:
            return NOTHING
        wrong = [f"stuck threads ({', '.join(stuck)})"] if (stuck := self._daemon.stuck()) else []
        statuses = {kind: worker.get_status() for kind, worker in workers.items()}
        snapshots = {kind: status.snapshot for kind, status in statuses.items()}
        for kind, worker in workers.items():
            status = statuses[kind]
            if found := "; ".join((*self._not_fresh(worker, status), *self._faulty(worker, status, snapshots))):
                wrong.append(f"{kind} ({found})")
        if wrong:
            return escape(f"Not fresh: {', '.join(wrong)}.")
        return f"Everything is fresh: {', '.join(_counted(kind, worker) for kind, worker in workers.items())}."

    def _not_fresh(self, worker: Worker[Any], status: Status[Any]) -> Iterator[str]:
        """Why one kind as a whole is not fresh, the cause first."""
        reason = _not_refreshed(worker, status)
        if reason:
            yield reason
        elif status.snapshot is None:
            yield "not loaded yet"
        if status.restored:
            yield "restored after a restart"
        if status.paused:
            yield "the schedule is stopped"
        watch = None if reason or status.last_success_at is None else worker.watch_health()
        if watch is not None and not watch.connected:
            yield "not watched"
        if status.hold is not None and not status.hold.rejected:
            names = _named(status.hold.names[:MAX_NAMES], len(status.hold.names))
            yield f"the removal of {len(status.hold.names)} is held since {_time(status.hold.since)}{names}"

    def _faulty(
        self, worker: Worker[Any], status: Status[Any], snapshots: Mapping[str, Snapshot[Any] | None]
    ) -> Iterator[str]:
        """What is wrong with the items of one kind."""
        kind, snapshot = worker.kind.name, status.snapshot
        if snapshot is None:
            return
        held = () if status.hold is None or status.hold.rejected else status.hold.names
        if stale := self._stale_of(worker, snapshot, held):
            since, names, count = stale
            yield f"{count} stale since {_time(since)}{_named(names, count)}"
        if kind in self._remarks:
            remarks: Iterable[Remark] = self._remarks[kind](snapshots)
            yield from (f"{phrase}{_named(names[:MAX_NAMES], len(names))}" for phrase, names in remarks)
        elif snapshot.rejected:
            yield f"{len(snapshot.rejected)} rejected"

    def _stale_of(self, worker: Worker[Any], snapshot: Snapshot[Any], held: tuple[str, ...]) -> Stale | None:
        """The stale items of a snapshot but those whose removal is held, which are told as such.

        Snapshots and holds are immutable: the answer of the last ones is kept.
        """
        kind = worker.kind
        known = self._stale.get(kind.name)
        if known is not None and known[0] is snapshot and known[1] is held:
            return known[2]
        stale_since, told = kind.stale_since, frozenset(held)
        found = ((name, stale_since(item)) for name, item in snapshot.items.items() if name not in told)
        times = {name: since for name, since in found if since is not None}
        stale = (min(times.values()), tuple(times)[:MAX_NAMES], len(times)) if times else None
        self._stale[kind.name] = (snapshot, held, stale)
        return stale


def _not_refreshed(worker: Worker[Any], status: Status[Any]) -> str:
    """Since when a kind that fails, or is overdue, was not refreshed, and why; empty if neither is so."""
    failed = status.last if status.consecutive_failures or status.cycle_failed else None
    if failed is None and health(worker).state == HEALTHY:
        return ""
    since = (
        "never refreshed" if status.last_success_at is None else f"not refreshed since {_time(status.last_success_at)}"
    )
    if failed is None or not failed.error:
        return since
    cut = failed.error if len(failed.error) <= LONGEST_ERROR else f"{failed.error[: LONGEST_ERROR - 3]}..."
    return f"{since}: {cut}"


def _counted(kind: str, worker: Worker[Any]) -> str:
    """Such as `1 target` or `13 rules`; a kind whose name is no plural has its name alone."""
    snapshot = worker.get_status().snapshot
    count = 0 if snapshot is None else len(snapshot.items)
    if not kind.endswith("s"):
        return kind
    return f"{count} {kind if count != 1 else kind.removesuffix('s')}"


def _named(names: tuple[str, ...], count: int) -> str:
    """Such as `: a, b and 3 more`; empty without names."""
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return f": {', '.join(names)}{more}" if names else ""


def _time(unix: float) -> str:
    """Such as `2026-11-26 10:03:05 UTC`."""
    return (rfc3339(unix) or "").replace("T", " ").replace("Z", " UTC")
