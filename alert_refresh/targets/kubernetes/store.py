"""The Secrets of one namespace: the last list with the events since, in whatever order the two were read. Pure.

resourceVersions are compared as integers; one that is not an integer is older than every other.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from alert_refresh.targets.revise import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alert_refresh.targets.assemble import Candidate

Known = dict[str, tuple[str, "Candidate"]]
"""Secrets by uid: resourceVersion and parsed candidate."""

UNKNOWN = -1
"""The number of a resourceVersion that is not an integer."""


def number(version: str) -> int:
    """A resourceVersion as an integer, for comparison."""
    return int(version) if version.isascii() and version.isdecimal() else UNKNOWN


@dataclass(frozen=True, slots=True)
class Store:
    """The state after the list at `version` and the events since. `known` is never changed.

    `serial` numbers the lists and `at` is when this one was merged (monotonic). `gone` holds the versions of deletions,
    by uid: an older list may still contain these Secrets. `unconfirmed` holds the corrections by the list for which no
    event has arrived, by uid: the lowest version that such an event can have. `epoch` is the serial of the first list
    of this history: versions of different epochs cannot be compared.

    For example `Store(known={"9f0c": ("1042", Candidate(...))}, version=1040, serial=3, at=73.1, gone={"77ab": 1041},
    unconfirmed={"9f0c": 1042}, epoch=1)`.
    """

    known: Known
    version: int
    serial: int
    at: float = 0.0
    gone: Mapping[str, int] = field(default_factory=dict)
    unconfirmed: Mapping[str, int] = field(default_factory=dict)
    epoch: int = 0


class Event(NamedTuple):
    """A Secret was added, modified or, without a candidate, deleted at `version`.

    For example `Event(uid="9f0c", version="1042", candidate=Candidate(...))`, or `Event("9f0c", "1043", None)`.
    """

    uid: str
    version: str
    candidate: Candidate | None


def apply(listed: Store, events: Iterable[Event]) -> tuple[Store, list[Change]]:
    """Apply events; old and repeated ones have no effect. Returns the same object if nothing changed."""
    known: Known | None = None
    changes: dict[str, Change] = {}
    gone, unconfirmed = dict(listed.gone), dict(listed.unconfirmed)
    for uid, text, candidate in events:
        version = number(text)
        if uid in unconfirmed and version >= unconfirmed[uid]:
            del unconfirmed[uid]
        now = listed.known if known is None else known
        entry = now.get(uid)
        floor = max(gone.get(uid, UNKNOWN), listed.version) if entry is None else number(entry[0])
        if version < floor or (version == floor and (entry is None or candidate is not None)):
            continue
        if candidate is None and version > listed.version:
            gone[uid] = version
        if candidate is None and entry is None:
            continue
        known = dict(listed.known) if known is None else known
        first = changes[uid].old if uid in changes else entry and entry[1]
        if candidate is None:
            del known[uid]
        else:
            known[uid] = text, candidate
        changes[uid] = Change(first, candidate)
    if known is None and len(unconfirmed) == len(listed.unconfirmed) and gone == listed.gone:
        return listed, []
    after = replace(listed, known=listed.known if known is None else known, gone=gone, unconfirmed=unconfirmed)
    return after, [change for change in changes.values() if change.old is not change.new]


def merge(new: Store, current: Store) -> tuple[Store, list[Change]]:
    """Merge a new list with the current store of the same epoch, of which only what is newer than the list is kept.

    Returns the merged store and its differences from `current`. Corrections by the list become `unconfirmed`.
    """
    gone = {uid: version for uid, version in current.gone.items() if version > new.version}
    unconfirmed = dict(current.unconfirmed)
    if new.known is current.known:
        return replace(new, gone=gone, unconfirmed=unconfirmed), []
    known = new.known
    kept: Known = {}
    left: list[str] = []
    changes: list[Change] = []
    for uid, entry in current.known.items():
        mine = known.get(uid)
        if mine is entry:
            continue
        version = number(entry[0])
        if version > new.version or (mine is not None and mine[0] == entry[0]):
            kept[uid] = entry
        elif mine is None:
            changes.append(Change(entry[1], None))
            unconfirmed[uid] = version
        else:
            changes.append(Change(entry[1], mine[1]))
            unconfirmed[uid] = number(mine[0])
    for uid in known.keys() - current.known.keys():
        if uid in gone:
            left.append(uid)
        else:
            changes.append(Change(None, known[uid][1]))
            unconfirmed[uid] = number(known[uid][0])
    if kept or left:
        known = known | kept
        for uid in left:
            del known[uid]
    return replace(new, known=known if changes else current.known, gone=gone, unconfirmed=unconfirmed), changes
