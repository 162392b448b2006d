"""Which nameless object of a manifest file is which Secret that the file held before."""

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
    """An object that does not say which Secret it is. `place` is its file and number, `result` what it holds."""

    place: str
    number: int
    faults: tuple[Fault, ...]
    name: str | None = None
    result: Target | tuple[Fault, ...] = ()

    @property
    def key(self) -> object:
        """Equal for an object that has not changed, wherever in its file it stands."""
        return self.faults, self.name, _content(self.result)


def recognise(objects: Iterable[Nameless], lost: Iterable[Candidate]) -> list[tuple[Nameless, Candidate | None]]:
    """Each object with the lost Secret that it evidently is, None if there is none left for it.

    The same name counts first, then the same content, then the same place in the file, then what is left over: a
    target whose Secret is damaged stays, and never goes by mistake.
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
    """Equal for equal targets, whatever they are called."""
    if not isinstance(result, Target):
        return None
    return sha256(msgspec.json.encode(as_config(result) | {"name": ""})).digest()


CRITERIA: tuple[tuple[Callable[[Nameless], object], Callable[[Candidate], object]], ...] = (
    (lambda one: one.name, lambda secret: secret.secret),
    (lambda one: _content(one.result), lambda secret: _content(secret.result)),
    (lambda one: one.place, lambda secret: secret.uid),
)
