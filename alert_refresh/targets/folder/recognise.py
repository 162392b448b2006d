"""Matches objects without a name to the Secrets that the file held before."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from alert_refresh.targets.target import Target, as_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from alert_refresh.engine import Fault
    from alert_refresh.targets.assemble import Candidate


class Nameless(NamedTuple):
    """An object without a usable name. `place` is its file and number, `result` its target or faults."""

    place: str
    number: int
    faults: tuple[Fault, ...]
    name: str | None = None
    result: Target | tuple[Fault, ...] = ()

    @property
    def key(self) -> object:
        """Equal for an unchanged object, independent of its position in the file."""
        return self.faults, self.name, _content(self.result)


def recognise(objects: Iterable[Nameless], lost: Iterable[Candidate]) -> list[tuple[Nameless, Candidate | None]]:
    """Each object with the missing Secret that it matches, None if no Secret is left to match.

    Matched by name, then by content, then by position in the file, then in any order: the target of a damaged Secret
    is kept as stale and never removed by mistake.
    """
    left, waiting = list(lost), list(objects)
    found: list[tuple[Nameless, Candidate | None]] = []
    for of_object, of_secret in CRITERIA:
        known = {key: secret for secret in reversed(left) if (key := of_secret(secret)) is not None}
        rest = []
        for one in waiting:
            secret = known.pop(of_object(one), None)
            if secret is None:
                rest.append(one)
            else:
                found.append((one, secret))
        taken = {id(secret) for _, secret in found}
        left, waiting = [secret for secret in left if id(secret) not in taken], rest
    found += zip(waiting, left, strict=False)
    return found + [(one, None) for one in waiting[len(left) :]]


def _content(result: Target | tuple[Fault, ...]) -> bytes | None:
    """Equal for targets that differ in their name only."""
    if not isinstance(result, Target):
        return None
    return sha256(msgspec.json.encode(as_config(result) | {"name": ""})).digest()


CRITERIA: tuple[tuple[Callable[[Nameless], object], Callable[[Candidate], object]], ...] = (
    (lambda one: one.name, lambda secret: secret.secret),
    (lambda one: _content(one.result), lambda secret: _content(secret.result)),
    (lambda one: one.place, lambda secret: secret.uid),
)
