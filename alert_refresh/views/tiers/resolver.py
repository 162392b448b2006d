"""The ancestors and descendants of an entity, through four tiers: memory, Redis, PostgreSQL's cache, the views.

A cache entry carries the token of the generation that was read in one statement with the rows; see `generations` for
why no read returns rows from before a refresh that has reported success.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
from psycopg import sql

from alert_refresh.views.names import parts, quoted
from alert_refresh.views.tiers import generations
from alert_refresh.views.tiers.reads import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alert_refresh.engine import Clock
    from alert_refresh.views.tiers.generations import Lease
    from alert_refresh.views.tiers.lru import LRU
    from alert_refresh.views.tiers.reads import Reads
    from alert_refresh.views.tiers.redis_cache import RedisCache

PATH = re.compile(r"[\w-]+(\.[\w-]+)*")
"""An ltree path; PostgreSQL applies the exact rules."""

BAD_PATH = (
    psycopg.errors.SyntaxError,
    psycopg.errors.NameTooLong,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.DataError,
)

NONE = b"null"
"""The cached value of an entity that does not exist."""


@dataclass(frozen=True, slots=True)
class Question:
    """A query of one view: the view's name in the example schema, and the SQL that returns JSON."""

    name: str
    view: str
    body: str


ANCESTORS = Question(
    "ancestors",
    "mv_entity_ancestors",
    """(
    select json_build_object('path', %(path)s::text, 'ancestors', coalesce(json_agg(json_build_object(
        'id', ancestor_id, 'path', ancestor_path::text, 'name', ancestor_name, 'kind', ancestor_kind,
        'distance', distance) order by distance desc) filter (where distance > 0), '[]'))
    from {view} where entity_path = %(path)s::ltree having count(*) > 0
    )""",
)

DESCENDANTS = Question(
    "descendants",
    "mv_descendant_counts",
    """(
    select json_build_object('path', %(path)s::text, 'descendant_count', descendant_count, 'child_count', child_count)
    from {view} where entity_path = %(path)s::ltree
    )""",
)

CACHEABLE = (
    "select g.token::text, {body}::text from (select to_regclass(%(name)s)::oid as oid) v"
    " left join refresh_generations g on g.view_oid = v.oid"
)

BLOCKS = """
select coalesce(sum(heap_blks_hit + coalesce(idx_blks_hit, 0)), 0)::bigint,
    coalesce(sum(heap_blks_read + coalesce(idx_blks_read, 0)), 0)::bigint
from pg_statio_user_tables where relid = any (select to_regclass(name)::oid from unnest(%s::text[]) as name)
"""


class BadPath(ValueError):
    """Raised when a path is not a valid ltree path."""


class Resolver:
    """Answers queries about the hierarchy with JSON documents, None for an entity that does not exist."""

    def __init__(
        self, views: Sequence[str], clock: Clock, reads: Reads, lease: Lease, l1: LRU[bytes], l2: RedisCache | None
    ) -> None:
        self._reads = reads
        self._clock = clock
        self._lease = lease
        self.l1 = l1
        self.l2 = l2
        self.found = 0
        self.unknown = 0
        self.reads_seconds = 0.0
        self._names = {parts(name)[-1]: quoted(name) for name in views}

    def ancestors(self, path: str) -> bytes | None:
        """The ancestors of an entity, the root first.

        Raises:
            BadPath: the path is invalid.
            Unavailable: the database cannot be read.
        """
        return self._ask(ANCESTORS, path)

    def descendants(self, path: str) -> bytes | None:
        """The numbers of all descendants and of the children of an entity. Raises as `ancestors`."""
        return self._ask(DESCENDANTS, path)

    def metrics(self) -> dict[str, Any]:
        """Statistics of the tiers since the start; those of the third are PostgreSQL's own since its last reset."""
        l1, l2, database = self.l1, self.l2, self.found + self.unknown
        hits = l1.hits + (l2.hits if l2 else 0)
        return {
            "l1_cache": _tier(l1.hits, l1.misses, size=len(l1), capacity=l1.capacity, evictions=l1.evictions),
            "l2_cache": _tier(l2.hits, l2.misses, available=l2.available, errors=l2.errors)
            if l2
            else _tier(0, 0, available=False, errors=0),
            "l3_cache": self._blocks(),
            "l4_cache": _tier(
                self.found,
                self.unknown,
                available=self._reads.available,
                queries=database,
                average_ms=self.reads_seconds * 1000 / database if database else None,
            ),
            "overall": _tier(hits, database, requests=hits + database),
        }

    def _blocks(self) -> dict[str, Any]:
        try:
            with self._reads.connection() as connection:
                row = connection.execute(BLOCKS, [list(self._names.values())]).fetchone()
        except Unavailable:
            return _tier(0, 0, available=False)
        assert row is not None
        return _tier(row[0], row[1], available=True)

    def _ask(self, question: Question, path: str) -> bytes | None:
        name = self._names.get(question.view)
        if name is None:
            raise Unavailable(f"{question.view} is not among VIEWS", 60.0)
        known = self._tokens().get(name)
        if known is None:
            return self._query(question, name, path)[1]
        token, mark = known
        body = self.l1.get((token, mark, path))
        if body is None:
            body = self._beyond(question, name, path, token, mark)
        return None if body == NONE else body

    def _beyond(self, question: Question, name: str, path: str, token: str, mark: str) -> bytes:
        """Query the tiers after the first, and store the answer in those before.

        The mark was read before the query, so the rows are at least as new.
        """
        if self.l2 is not None and (body := self.l2.get(_key(question, token, mark, path))) is not None:
            if _is_answer(body, path):
                self.l2.hits += 1
                self.l1.put((token, mark, path), body)
                return body
            self.l2.misses += 1
        seen, answer = self._query(question, name, path, cacheable=True)
        body = NONE if answer is None else answer
        if seen is not None:
            self.l1.put((seen, mark, path), body)
            if self.l2 is not None:
                self.l2.put(_key(question, seen, mark, path), body)
        return body

    def _query(
        self, question: Question, name: str, path: str, *, cacheable: bool = False
    ) -> tuple[str | None, bytes | None]:
        """The token and the answer, read in one statement."""
        if len(path) > 4000 or not PATH.fullmatch(path):
            raise BadPath(path)
        body = sql.SQL(question.body).format(view=sql.SQL(name.replace("%", "%%")))
        statement = sql.SQL(CACHEABLE if cacheable else "select null, {body}::text").format(body=body)
        started = self._clock.monotonic()
        with self._reads.connection() as connection:
            try:
                row = connection.execute(statement, {"name": name, "path": path}).fetchone()
            except BAD_PATH as error:
                raise BadPath(path) from error
        assert row is not None
        self.reads_seconds += self._clock.monotonic() - started
        token, answer = row
        if answer is None:
            self.unknown += 1
            return token, None
        self.found += 1
        return token, msgspec.json.format(answer.encode(), indent=-1)

    def _tokens(self) -> Mapping[str, tuple[str, str]]:
        tokens = self._lease.tokens()
        if tokens is None:
            asked = self._lease.begin()
            with self._reads.connection() as connection:
                tokens = generations.look(connection, list(self._names.values()))
            self._lease.renew(tokens, asked)
        return tokens


def _key(question: Question, token: str, mark: str, path: str) -> str:
    return f"alert-refresh:{question.name}:{token}:{mark}:{path}"


def _is_answer(body: bytes, path: str) -> bool:
    """Whether a value from Redis is an answer about this entity; other clients may write there."""
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return False
    return found is None or (isinstance(found, dict) and found.get("path") == path)


def _tier(hits: int, misses: int, **more: Any) -> dict[str, Any]:
    asked = hits + misses
    return {"hits": hits, "misses": misses, "hit_ratio": hits / asked if asked else 0.0, **more}
