"""What is kept of a kind, read without changing anything and without serving it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alert_refresh.keep import snapshot_file
from alert_refresh.keep.folder import Refused, StateFolder

if TYPE_CHECKING:
    from alert_refresh.engine import Snapshot
    from alert_refresh.keep.codec import Codec
    from alert_refresh.keep.settings import Settings


class Peeked(NamedTuple):
    """What is kept: the snapshot, if there is a usable one, the names whose removal was rejected, and what is wrong."""

    snapshot: Snapshot[Any] | None = None
    rejected: frozenset[str] = frozenset()
    problem: str | None = None


def peek(kind: str, codec: Codec, settings: Settings) -> Peeked:
    """What the daemon would restore now, however old it is."""
    if settings.folder is None:
        return Peeked(problem="no state directory is set (ALERT_REFRESH_STATE_DIR)")
    try:
        data = StateFolder(settings.folder).read(snapshot_file.name_of(kind), snapshot_file.LARGEST)
        if data is None:
            return Peeked(problem="no snapshot is kept in the state directory")
        kept = snapshot_file.unpack(kind, codec.schema, data, settings.key)
        return Peeked(codec.load(kept.content), frozenset(kept.rejected))
    except (Refused, ValueError) as error:
        return Peeked(problem=f"the kept snapshot cannot be used: {error}")
