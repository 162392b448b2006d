"""What is known of the views as bytes and back, to be kept across restarts, and the history not yet written.

What would prove that a view may be skipped is not kept: after a restart every view is refreshed once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

from alert_refresh.engine import Snapshot
from alert_refresh.keep.codec import decoded
from alert_refresh.views.history import Record  # noqa: TC001 - msgspec looks it up
from alert_refresh.views.source import digest
from alert_refresh.views.view import Mode, ViewState

if TYPE_CHECKING:
    from alert_refresh.engine import Source
    from alert_refresh.views.source import PostgresSource


class _View(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A `ViewState`; `since` is Unix seconds here. Who holds a view's lock is not kept."""

    name: str
    mode: Mode
    reason: str
    error_type: str
    transient: bool
    duration_ms: float
    refreshed_at: float | None
    generation: int
    fresh_at: float | None
    since: float | None
    never: str
    analyzed: str | None
    rows: int | None
    size: int | None


class _Snapshot(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    generation: int
    digest: str
    taken_at: float
    views: list[_View]
    history: list[Record]


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_Snapshot)


class ViewCodec:
    """See `keep.codec.Codec`."""

    schema = 1

    def __init__(self, source: Source[ViewState]) -> None:
        self._source = cast("PostgresSource", source)

    def mark(self, snapshot: Snapshot[ViewState]) -> object:
        """The age of a view is kept too, which the digest does not name."""
        ages = tuple((state.fresh_at, state.mode, state.duration_ms) for state in snapshot.items.values())
        return snapshot.generation, snapshot.digest, ages, self._source.history.changes

    def dump(self, snapshot: Snapshot[ViewState]) -> bytes:
        """What `mark` names."""
        views = [self._plain(state) for state in snapshot.items.values()]
        history = list(self._source.history.unwritten())
        return _encode(_Snapshot(snapshot.generation, snapshot.digest, snapshot.taken_at, views, history))

    def load(self, content: bytes) -> Snapshot[ViewState]:
        """The snapshot of the views that are still configured; the history goes to the source.

        Raises:
            ValueError: it is not what `dump` made.
        """
        kept = decoded(_decoder, content)
        items = {one.name: self._state(one) for one in kept.views}
        if len(items) != len(kept.views) or digest(items) != kept.digest:
            raise ValueError("the views are not those of the digest")
        self._source.history.restore(kept.history)
        served = {name: state for name, state in items.items() if name in self._source.settings.views}
        changed = len(served) < len(items)
        return Snapshot(
            items=served,
            digest=digest(served),
            taken_at=kept.taken_at,
            generation=kept.generation + changed,
        )

    def _plain(self, state: ViewState) -> _View:
        clock = self._source.clock
        since = None if state.since is None else clock.time() - (clock.monotonic() - state.since)
        return _View(
            state.name,
            state.mode,
            state.reason,
            state.error_type,
            state.transient,
            state.duration_ms,
            state.refreshed_at,
            state.generation,
            state.fresh_at,
            since,
            state.never,
            state.analyzed,
            state.rows,
            state.size,
        )

    def _state(self, one: _View) -> ViewState:
        clock = self._source.clock
        since = None if one.since is None else clock.monotonic() - max(0.0, clock.time() - one.since)
        return ViewState(
            one.name,
            one.mode,
            one.reason,
            one.error_type,
            one.transient,
            one.duration_ms,
            one.refreshed_at,
            one.generation,
            one.fresh_at,
            since,
            None,
            one.never,
            one.analyzed,
            one.rows,
            one.size,
        )
