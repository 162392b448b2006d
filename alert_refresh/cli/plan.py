"""What the next refresh would change against the kept snapshot: name by name, field by field, and what is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alert_refresh import daemon as kinds
from alert_refresh.cli.once import attempt
from alert_refresh.engine import SystemClock
from alert_refresh.keep.peek import Peeked, peek
from alert_refresh.kind import load
from alert_refresh.observe.formats import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alert_refresh.cli.once import Attempted
    from alert_refresh.config import Config
    from alert_refresh.engine import Hold, Snapshot, Source, Worker
    from alert_refresh.kind import Kind

NOTHING, FAULT, CHANGES, HELD = range(4)
"""Exit statuses."""
MAX_NAMES = 1000
"""Names that are listed of each sort; the counts count all."""


def plan(config: Config) -> list[dict[str, Any]]:
    """One entry for each kind that is on.

    `kind`, `source`, `error`, `added` and `removed` (names), `changed` (names with their `fields`), `rejected` (items),
    `held` (null, or the `proposal` and the `names` whose removal would be held, and whether it was `rejected`), and
    `problem`: why nothing is known of what is served, so that everything counts as added. A kind that makes one whole
    has its `difference` instead, as lines, and what was
    `unchecked`. Of a kind that has neither only `kind` and `planned`.
    """
    clock = SystemClock()
    found = []
    before: dict[str, Worker[Any]] = {}
    for kind in kinds.KINDS:
        settings = config.kinds[kind.name]
        build = kind.build_check if kind.difference and kind.build_check else kind.build
        source = build(settings, clock, before)
        if source is None:
            continue
        if kind.difference:
            found.append(_whole(kind, settings, source))
        elif kind.plan:
            codec = load(kind.keep)(source) if kind.keep else None
            kept = Peeked() if codec is None else peek(kind.name, codec, config.keep)
            made = attempt(kind, settings, source, restored=kept.snapshot, hold=kept.hold)
            before[kind.name] = made.worker
            found.append(_entry(kind, made, kept))
        else:
            found.append({"kind": kind.name, "planned": False})
    return found


def _whole(kind: Kind, settings: Any, source: Source[Any]) -> dict[str, Any]:
    """The entry of a kind that makes one whole."""
    made = attempt(kind, settings, source)
    entry = {"kind": kind.name, "planned": True, "source": source.name, "problem": None, "unusable": False}
    entry |= {name: value for name, value in made.fields().items() if name.startswith("error")}
    rejected = _rejected(made.status.snapshot)
    checked = load(kind.check)({kind.name: made.status.snapshot}) if kind.check else {}
    entry["unchecked"] = checked.get("unchecked", [])
    return entry | {"rejected": rejected, "difference": [] if entry["error"] else load(kind.difference)(source)}


def _entry(kind: Kind, made: Attempted, kept: Peeked) -> dict[str, Any]:
    source = made.worker.source
    entry = {"kind": kind.name, "planned": True, "source": source.name, "problem": kept.problem}
    entry["unusable"] = kept.unusable
    entry |= {name: value for name, value in made.fields().items() if name.startswith("error")}
    after = made.status.found
    if entry["error"] or after is None:
        return entry | _difference(None, None, dict, None)
    return entry | _difference(kept.snapshot, after, load(kind.plan), made.status.hold)


def _difference(
    before: Snapshot[Any] | None, after: Snapshot[Any] | None, fields: Callable[[Any], Any], hold: Hold | None
) -> dict[str, Any]:
    """What differs between what is kept and what was found."""
    old: Mapping[str, Any] = {} if before is None else before.items
    new: Mapping[str, Any] = {} if after is None else after.items
    changed = [(name, _changes(fields(old[name]), fields(item))) for name, item in new.items() if name in old]
    sorts: dict[str, list[Any]] = {
        "added": sorted(new.keys() - old.keys()),
        "changed": [{"name": name, "fields": found} for name, found in changed if found],
        "removed": sorted(old.keys() - new.keys()),
    }
    held = None
    if hold is not None:
        held = {"proposal": hold.proposal, "count": len(hold.names), "names": list(hold.names[:MAX_NAMES])}
        held["rejected"] = hold.rejected
    counts = {f"{sort}_count": len(names) for sort, names in sorts.items()}
    shown = {"rejected": _rejected(after), "held": held}
    return {sort: names[:MAX_NAMES] for sort, names in sorts.items()} | counts | shown


def _rejected(snapshot: Snapshot[Any] | None) -> list[dict[str, Any]]:
    """The first items that could not be used, with their faults."""
    return [
        {"source": dict(one.origin), "faults": [fault.fields() for fault in one.faults]}
        for one in (() if snapshot is None else snapshot.rejected[:MAX_NAMES])
    ]


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields that differ, each as it may be shown; a masked one looks the same before and after."""
    return [
        {"field": name, "before": before[name][1], "after": shown}
        for name, (value, shown) in after.items()
        if before[name][0] != value
    ]


def status_of(found: list[dict[str, Any]]) -> int:
    """The exit status: a fault before a removal that would be held, and that before any change."""
    if any(one.get("error") or one.get("unusable") for one in found):
        return FAULT
    if any(one.get("held") for one in found):
        return HELD
    sorts = ("added", "changed", "removed")
    changes = any(one.get(f"{sort}_count") for one in found for sort in sorts)
    return CHANGES if changes or any(one.get("difference") for one in found) else NOTHING


def text(found: list[dict[str, Any]]) -> str:
    """The plan for people, with unprintable characters escaped."""
    lines = [line for one in found for line in _lines(one)] or ["Nothing is configured"]
    return "\n".join(escape(line) for line in lines)


def _lines(one: dict[str, Any]) -> list[str]:
    if not one["planned"]:
        return [f"{one['kind']}: not planned; a refresh of {one['kind']} has no items to compare"]
    head = f"{one['kind']} from {one['source']}: "
    if one["error"]:
        return [f"{head}failed ({one['error_type']}): {one['error']}"]
    if "difference" in one:
        lines = [head + ("the file would change" if one["difference"] else "nothing changes")]
        lines += [f"  {line}" for line in one["difference"]]
        return lines + _faults(one) + [f"  {said}" for said in one["unchecked"]]
    counts = [f"{one[f'{sort}_count']} {sort}" for sort in ("added", "changed", "removed") if one[f"{sort}_count"]]
    lines = [head + (", ".join(counts) or "nothing changes")]
    if one["problem"]:
        lines.append(f"  {one['problem']}: everything counts as added")
    lines += [f"  + {name}" for name in one["added"]]
    for changed in one["changed"]:
        said = "; ".join(_said(field) for field in changed["fields"])
        lines.append(f"  ~ {changed['name']}: {said}")
    lines += [f"  - {name}" for name in one["removed"]]
    if one["held"]:
        word = "rejected" if one["held"]["rejected"] else "held"
        lines.append(f"  {word}: the removal of {one['held']['count']}, proposal {one['held']['proposal']}")
    return lines + _faults(one)


def _faults(one: dict[str, Any]) -> list[str]:
    return [
        f"  {'/'.join(rejected['source'].values())}: {fault['field']}: {fault['message']}"
        for rejected in one["rejected"]
        for fault in rejected["faults"]
    ]


def _said(change: dict[str, Any]) -> str:
    if change["before"] == change["after"]:
        return f"{change['field']} changed (masked)"
    return f"{change['field']}: {change['before']} -> {change['after']}"
