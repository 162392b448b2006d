"""Which generation of a view is current, shared by all daemons on one database.

A committed refresh creates a new token for its view. A cache entry carries the token that was read in one statement
with the rows, and a mark that was read before, which changes when another client refreshed the view. A daemon may use
its tokens and marks for one lease before it reads them again; a refresh waits one lease before it reports success. So a
read that begins after that success uses the new token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from alert_refresh.views.database.tables import refused
from alert_refresh.views.names import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from alert_refresh.engine import Clock
    from alert_refresh.views.view import Plan

MOVE = """
update refresh_generations set view_oid = %(oid)s
where view_oid = (select min(view_oid) from refresh_generations where view_name = %(name)s and view_oid <> %(oid)s)
    and not exists (select from refresh_generations where view_oid = %(oid)s)
"""
"""A view that was dropped and recreated takes over the row of its predecessor."""

ADVANCE = """
insert into refresh_generations as g (view_oid, view_name, generation, token, refreshed_at)
values (%(oid)s, %(name)s, extract(epoch from clock_timestamp()) * 1000, gen_random_uuid(), clock_timestamp())
on conflict (view_oid) do update set view_name = excluded.view_name,
    generation = greatest(g.generation + 1, excluded.generation),
    token = excluded.token, refreshed_at = excluded.refreshed_at
returning generation
"""

# The mark changes when another client has refreshed the view: the relfilenode immediately with a plain REFRESH, the
# counters after a CONCURRENT one, once its session has reported them; and every hour in any case.
LOOK = """
select v.name, g.token::text, md5(concat_ws(':', c.relfilenode, pg_stat_get_tuples_inserted(c.oid),
    pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid), pg_stat_get_bgwriter_stat_reset_time(),
    floor(extract(epoch from clock_timestamp()) / 3600)))
from unnest(%s::text[]) as v(name) join pg_class c on c.oid = to_regclass(v.name)::oid
join refresh_generations g on g.view_oid = c.oid
"""

ROWS = """
select v.name, g.generation, extract(epoch from clock_timestamp() - g.refreshed_at)::double precision
from unnest(%s::text[], %s::text[]) as v(name, quoted)
join refresh_generations g on g.view_oid = to_regclass(v.quoted)::oid
"""


def advance(connection: Connection[Any], plan: Plan) -> int:
    """Write a new generation of the view; called after its REFRESH has committed.

    Raises:
        psycopg.Error: it could not be written: the caches of other daemons are not invalidated.
    """
    values = {"oid": plan.oid, "name": f"{plan.schema}.{plan.relation}"}
    connection.execute(MOVE, values)
    row = connection.execute(ADVANCE, values).fetchone()
    assert row is not None
    return int(row[0])


def look(connection: Connection[Any], names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The current tokens and marks of views, by quoted name; a view that no daemon has refreshed has none."""
    return {name: (token, mark) for name, token, mark in _read(connection, LOOK, list(names))}


def rows(connection: Connection[Any], names: Sequence[str]) -> dict[str, tuple[int, float]]:
    """The known generations of views and their ages in seconds, by configured name."""
    found = _read(connection, ROWS, list(names), [quoted(name) for name in names])
    return {name: (generation, age) for name, generation, age in found}


def _read(connection: Connection[Any], query: str, *values: list[str]) -> list[Any]:
    try:
        return connection.execute(query.encode(), values).fetchall()
    except psycopg.Error as error:
        if refused(error):
            return []
        raise


RENEW_AT = 0.5
"""The share of a lease after which one thread renews it, while the others still use it."""


@dataclass(frozen=True, slots=True)
class _Known:
    """`ticket` holds one item; the thread that takes it renews the lease early."""

    tokens: Mapping[str, tuple[str, str]]
    renew_at: float
    until: float
    ticket: list[None]


class Lease:
    """The tokens of this daemon, and until when it may use them. `length` in seconds."""

    def __init__(self, clock: Clock, length: float) -> None:
        self._clock = clock
        self._known = _Known({}, float("-inf"), float("-inf"), [])
        self.length = length

    def tokens(self) -> Mapping[str, tuple[str, str]] | None:
        """The tokens; None for a reader that must read them: one of them early, all of them after the lease."""
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
        """Call before reading the tokens, and pass the result to `renew`: a lease starts before the query."""
        return self._clock.monotonic()

    def renew(self, tokens: Mapping[str, tuple[str, str]], asked: float) -> None:
        """Use these tokens until one lease after `asked`."""
        self._known = _Known(tokens, asked + RENEW_AT * self.length, asked + self.length, [None])
