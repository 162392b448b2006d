"""Which generation of a view is current, shared by all daemons on one database.

A refresh that has committed draws a new token for its view; what is cached carries the token it was read under,
in one statement with the rows. A daemon may trust the tokens it knows for one lease, then it looks again; whoever
refreshes waits one lease before saying success. So a read that begins after that success sees the new token.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from alert_refresh.views.tables import refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from alert_refresh.engine import Clock
    from alert_refresh.views.view import Plan

ADVANCE = """
insert into refresh_generations as g (view_oid, view_name, generation, token, refreshed_at)
values (%s, %s, extract(epoch from clock_timestamp()) * 1000, gen_random_uuid(), clock_timestamp())
on conflict (view_oid) do update set view_name = excluded.view_name,
    generation = greatest(g.generation + 1, excluded.generation),
    token = excluded.token, refreshed_at = excluded.refreshed_at
returning generation
"""

LOOK = """
select v.name, g.token::text from unnest(%s::text[]) as v(name)
join refresh_generations g on g.view_oid = to_regclass(v.name)::oid
"""

log = logging.getLogger(__name__)


def advance(connection: Connection[Any], plan: Plan) -> int:
    """A new generation of the view, called once its REFRESH has committed.

    Raises:
        psycopg.Error: the caches of other daemons were not told.
    """
    row = connection.execute(ADVANCE, [plan.oid, f"{plan.schema}.{plan.relation}"]).fetchone()
    assert row is not None
    return int(row[0])


def look(connection: Connection[Any], names: Sequence[str]) -> dict[str, str]:
    """The current tokens of views, by quoted name; a view that was never refreshed by us has none."""
    try:
        return dict(connection.execute(LOOK, [list(names)]).fetchall())
    except psycopg.Error as error:
        if refused(error):
            return {}
        raise


RENEW_AT = 0.5
"""The share of a lease after which one thread renews it, while the others go on under it."""


@dataclass(frozen=True, slots=True)
class _Known:
    """`ticket` holds one item; whoever takes it renews the lease early."""

    tokens: Mapping[str, str]
    renew_at: float
    until: float
    ticket: list[None]


class Lease:
    """The tokens this daemon knows, and until when it may trust them. `length` in seconds."""

    def __init__(self, clock: Clock, length: float) -> None:
        self._clock = clock
        self._known = _Known({}, float("-inf"), float("-inf"), [])
        self.length = length

    def tokens(self) -> Mapping[str, str] | None:
        """The tokens, or None to whoever must look them up: one reader early, everybody once the lease is over."""
        known, now = self._known, self._clock.monotonic()
        if now < known.renew_at:
            return known.tokens
        if now >= known.until:
            return None
        try:
            known.ticket.pop()
        except IndexError:
            return known.tokens
        return None

    def begin(self) -> float:
        """Call before looking the tokens up, and hand the answer to `renew`: a lease runs from the question."""
        return self._clock.monotonic()

    def renew(self, tokens: Mapping[str, str], asked: float) -> None:
        """Trust these tokens until one lease after `asked`."""
        self._known = _Known(tokens, asked + RENEW_AT * self.length, asked + self.length, [None])
