"""Which parts of a folder hold one target, so that they alone are read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alert_refresh.targets.named import secrets_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.engine import Snapshot
    from alert_refresh.targets.folder.parts import Memo, Part
    from alert_refresh.targets.target import Target


class Selection(NamedTuple):
    """Names of parts that are files or mounted Secrets, and the Secrets, by namespace and name, that they hold."""

    parts: frozenset[str]
    secrets: frozenset[tuple[str, str]]

    def stays(self, parts: Mapping[str, Part]) -> bool:
        """Whether each of the Secrets is still there: one that is not may be in any other file now."""
        return self.secrets <= {(one.namespace, one.secret) for part in parts.values() for one in part.candidates}


def select(snapshot: Snapshot[Target], memo: Memo, name: str) -> Selection | None:
    """What the target of this name, or the rejected Secret that is called so, is in; None if it is in nothing."""
    secrets = frozenset(secrets_of(snapshot, name))
    parts = frozenset(
        part_name
        for part_name, part in memo.parts.items()
        if any((one.namespace, one.secret) in secrets for one in part.candidates)
    )
    return Selection(parts, secrets) if parts else None
