"""What a refresh brings back: one whole, frozen picture of a kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one item: which field, and why. The message never holds the value."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """An item that could not be used: where it came from (shown to users) and every fault it has."""

    origin: Mapping[str, str]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that is none of these items and was left out: where it came from (shown to users), and why."""

    origin: Mapping[str, str]
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T_co]):
    """The whole truth about a kind at one moment. Immutable: readers keep it as long as they like.

    `items` maps an item's name to the item. `digest` names the content: equal digests mean that nothing
    a reader can see has changed. `generation` is given by the state when it publishes. `memo` is what the
    source wants back as `previous.memo` (its cache of unchanged input), and what readers of that kind alone may
    read. `stats` is what the source measured on the way (seconds, counts), for its kind's own metrics. `rebase` is
    there if the source's watch publishes too: when it did so during the attempt, `rebase(current)` is this snapshot
    brought to what is served now, so that it undoes nothing newer. `skipped` are the first things that were left out,
    `skipped_count` counts all of them.
    """

    items: Mapping[str, T_co]
    rejected: tuple[Rejected, ...] = ()
    digest: str = ""
    taken_at: float = 0.0
    generation: int = 0
    memo: object = field(default=None, repr=False, compare=False)
    stats: Mapping[str, float] = field(default_factory=dict, repr=False, compare=False)
    rebase: Callable[[Snapshot[Any]], Snapshot[Any]] | None = field(default=None, repr=False, compare=False)

    skipped: tuple[Skipped, ...] = ()
    skipped_count: int = 0

    def __post_init__(self) -> None:
        for name in ("items", "stats"):
            if not isinstance(mapping := getattr(self, name), MappingProxyType):
                object.__setattr__(self, name, MappingProxyType(mapping))
