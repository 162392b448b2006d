"""The result of a refresh: one complete, frozen snapshot of a kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Fault:
    """An error in one item: the field and a message, which never contains the value."""

    field: str
    message: str

    def fields(self) -> dict[str, str]:
        """The fault as JSON fields."""
        return {"field": self.field, "message": self.message}


@dataclass(frozen=True, slots=True)
class Rejected:
    """An item that could not be used: its origin, such as `{"file": "a.yaml"}`, and all its faults."""

    origin: Mapping[str, str]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that is none of these items and was left out: where it came from (shown to users), and why."""

    origin: Mapping[str, str]
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T_co]):
    """The complete state of a kind at one moment. Immutable, so readers may keep it.

    `items` maps an item's name to the item. `digest` identifies the content: with equal digests nothing visible to a
    reader has changed. `generation` is assigned when the state publishes it. `memo` is data of the source, passed back
    to it as `previous.memo` (its cache of unchanged input), and readable by code of the same kind. `stats` holds
    measurements of the source (seconds, counts) for the metrics of its kind. `rebase` is set if the source's watch
    publishes too: `rebase(current)` merges what the watch published during the attempt into this snapshot. A
    watch that knows which names of the current snapshot this one lacks sets `lost`, which saves a comparison. `skipped`
    holds the first things that were left out, `skipped_count` counts all of them.
    """

    items: Mapping[str, T_co]
    rejected: tuple[Rejected, ...] = ()
    digest: str = ""
    taken_at: float = 0.0
    generation: int = 0
    memo: object = field(default=None, repr=False, compare=False)
    stats: Mapping[str, float] = field(default_factory=dict, repr=False, compare=False)
    rebase: Callable[[Snapshot[Any]], Snapshot[Any]] | None = field(default=None, repr=False, compare=False)
    lost: frozenset[str] | None = field(default=None, repr=False, compare=False)

    skipped: tuple[Skipped, ...] = ()
    skipped_count: int = 0

    def __post_init__(self) -> None:
        for name in ("items", "stats"):
            if not isinstance(mapping := getattr(self, name), MappingProxyType):
                object.__setattr__(self, name, MappingProxyType(mapping))


@dataclass(frozen=True, slots=True)
class Difference:
    """Names of items, each list sorted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def difference(before: Snapshot[Any] | None, after: Snapshot[Any]) -> Difference:
    """The items of `after` that are not, or not the same, in `before`, and those that are gone; None had no items.

    Most items of two snapshots are the same objects, which are not compared any further.
    """
    if before is None:
        return Difference(added=tuple(sorted(after.items)))
    old, new = before.items, after.items
    others = [name for name, item in new.items() if old.get(name) is not item]
    added = [name for name in others if name not in old]
    changed = [name for name in others if name in old and old[name] != new[name]]
    removed = old.keys() - new.keys() if len(old) + len(added) != len(new) else ()
    return Difference(tuple(sorted(added)), tuple(sorted(removed)), tuple(sorted(changed)))
