"""The planner: what PostgreSQL's catalog says of the configured views, in one query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alert_refresh.views.view import Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

HARMLESS = (
    "concat", "concat_ws", "format", "array_to_string", "to_json", "to_jsonb", "row_to_json", "json_agg", "jsonb_agg",
    "json_object_agg", "jsonb_object_agg", "json_build_object", "jsonb_build_object", "json_build_array",
    "jsonb_build_array",
)  # fmt: skip
"""Functions that are only stable, not immutable, because their text depends on settings; time does not change them."""

# reached: all that a view reads, through plain views, partitions and inheritance, but not through other materialized
# views, whose own counters tell when they change. The rule's stored tree names every function by oid; built-in ones
# are not in pg_depend. A usable unique index is what PostgreSQL itself asks of one (is_usable_unique_index).
QUERY = """
with recursive wanted as (
    select w.name, to_regclass(w.quoted)::oid as oid, w.place
    from unnest(%(names)s::text[], %(quoted)s::text[]) with ordinality as w(name, quoted, place)
), reached(root, oid, kind) as (
    select w.oid, w.oid, 'v'::"char" from wanted w where w.oid is not null
    union
    select r.root, c.oid, c.relkind
    from reached r
    cross join lateral (
        select d.refobjid as oid from pg_rewrite rule
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = rule.oid
            and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.oid
        where rule.ev_class = r.oid and r.kind = 'v'
        union all
        select i.inhrelid from pg_inherits i where i.inhparent = r.oid and r.kind in ('r', 'p', 'f')
    ) next
    join pg_class c on c.oid = next.oid
), reads as (
    select r.root,
        string_agg(concat_ws(':', c.oid, c.relfilenode, pg_stat_get_tuples_inserted(c.oid),
            pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid)), ' ' order by c.oid)
            filter (where c.relkind in ('r', 'm')) as counters,
        bool_or(c.relkind not in ('r', 'm', 'p', 'v', 'i', 'c')) as foreign_data
    from reached r join pg_class c on c.oid = r.oid where r.oid <> r.root group by r.root
), trees as (
    select r.root, rule.ev_action::text as tree
    from reached r join pg_rewrite rule on rule.ev_class = r.oid where r.kind = 'v'
), unsteady as (
    select t.root,
        bool_or(t.tree ~ '\\{(SQLVALUEFUNCTION|TABLESAMPLECLAUSE|RANGETABLESAMPLE)\\y') or bool_or(exists (
            select from regexp_matches(t.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g') as used(ids)
            join pg_proc p on p.oid = used.ids[1]::oid
            where p.provolatile <> 'i'
                and not (p.pronamespace = 'pg_catalog'::regnamespace and p.proname = any(%(harmless)s::text[]))
        )) as found
    from trees t group by t.root
)
select w.name, c.oid::bigint, n.nspname, c.relname, c.relkind::text, c.relispopulated,
    exists (
        select from pg_index i join pg_class ic on ic.oid = i.indexrelid join pg_am am on am.oid = ic.relam
        where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
            and am.amname = 'btree' and i.indnatts > 0 and 0 < all (i.indkey::smallint[])
    ),
    concat_ws(' ', c.oid, pg_postmaster_start_time(), database.stats_reset, reads.counters),
    case
        when reads.counters is null then 'it reads no table'
        when reads.foreign_data then 'it reads data whose changes PostgreSQL does not count'
        when unsteady.found then 'it calls functions whose result may change by itself'
        when not current_setting('track_counts')::boolean then 'track_counts is off'
        else ''
    end,
    array(select distinct u.name from reached r join wanted u on u.oid = r.oid where r.root = c.oid and r.oid <> c.oid)
from wanted w
left join pg_class c on c.oid = w.oid
left join pg_namespace n on n.oid = c.relnamespace
left join reads on reads.root = c.oid
left join unsteady on unsteady.root = c.oid
left join pg_stat_database database on database.datname = current_database()
order by w.place
"""


def quoted(name: str) -> str:
    """A configured name as PostgreSQL reads identifiers in text; it holds no quotes, its pattern forbids them."""
    return ".".join(f'"{part}"' for part in name.split("."))


def plan(connection: Connection[Any], names: Sequence[str]) -> list[Plan]:
    """What the catalog says of these views, in their order."""
    values = {"names": list(names), "quoted": [quoted(name) for name in names], "harmless": list(HARMLESS)}
    rows = connection.execute(QUERY, values).fetchall()
    return [
        Plan(name, oid, schema or "", relation or "", kind or "", bool(populated), index, reading, opaque, tuple(up))
        for name, oid, schema, relation, kind, populated, index, reading, opaque, up in rows
    ]
