"""What is kept of a kind, read without changing anything and without serving it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from alert_refresh.engine import AttemptError
from alert_refresh.files.read import READ_ONLY, read_descriptor
from alert_refresh.keep import snapshot_file
from alert_refresh.keep.folder import Refused, reason

if TYPE_CHECKING:
    from alert_refresh.engine import Hold, Snapshot
    from alert_refresh.keep.codec import Codec
    from alert_refresh.keep.settings import Settings


class Peeked(NamedTuple):
    """What is kept: the snapshot, if there is a usable one, and the removals that were held.

    `problem` says why there is none; it is `unusable` if there is a file, of which nothing can be told.
    """

    snapshot: Snapshot[Any] | None = None
    hold: Hold | None = None
    problem: str | None = None
    unusable: bool = False


def peek(kind: str, codec: Codec, settings: Settings) -> Peeked:
    """What is kept, however old it is and whoever owns it: it is compared and not served."""
    if settings.folder is None:
        return Peeked(problem="no state directory is set (ALERT_REFRESH_STATE_DIR)")
    try:
        descriptor = os.open(settings.folder / snapshot_file.name_of(kind), READ_ONLY)
        data = read_descriptor(descriptor, "the file", snapshot_file.LARGEST)
        kept = snapshot_file.unpack(kind, codec.schema, data, settings.key)
        return Peeked(codec.load(kept.content), kept.hold)
    except FileNotFoundError:
        return Peeked(problem="no snapshot is kept in the state directory")
    except OSError as error:
        return Peeked(problem=f"the kept snapshot cannot be read: {reason(error)}", unusable=True)
    except (Refused, AttemptError, ValueError) as error:
        return Peeked(problem=f"the kept snapshot cannot be used: {error}", unusable=True)
