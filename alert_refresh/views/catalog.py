"""The planner: reads the state of the configured views from PostgreSQL's catalog in one query."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alert_refresh.views.names import parts, quoted
from alert_refresh.views.skip import proof
from alert_refresh.views.tiers import generations
from alert_refresh.views.view import Plan

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from psycopg import Connection

LAG = "10 s"
"""The longest delay until an idle session reports its change counters; a busy one may delay them until it is idle."""

PROOFS = 1000
"""The highest number of cached proofs."""

SETTINGS = (
    "bytea_output", "DateStyle", "default_text_search_config", "extra_float_digits", "IntervalStyle", "lc_collate",
    "lc_ctype", "lc_messages", "lc_monetary", "lc_numeric", "lc_time", "search_path", "TimeZone", "xmlbinary",
)  # fmt: skip
"""Settings that may affect the result of a query."""

# reached: all that a view reads, through plain views, partitions and inheritance, operators and functions, but not
# through other materialized views, whose own counters tell when they change. Built-in objects are not in pg_depend;
# the proof finds those in the stored trees. An xmin names the version of a definition. A usable unique index is what
# PostgreSQL itself asks of one (is_usable_unique_index). Another session may have committed changes that it has not
# counted yet, for as long as it has not been idle since; a session whose state is hidden from the role may, too.
QUERY = """
with recursive wanted as (
    select w.name, w.bare, to_regclass(w.quoted)::oid as oid, w.place
    from unnest(%(names)s::text[], %(quoted)s::text[], %(bare)s::text[])
        with ordinality as w(name, quoted, bare, place)
), reached(root, class, oid, kind) as (
    select w.oid, 'pg_class'::regclass::oid, w.oid, 'v'::"char" from wanted w where w.oid is not null
    union
    select r.root, next.class, next.oid, coalesce(c.relkind, 'F')
    from reached r
    cross join lateral (
        select d.refclassid as class, d.refobjid as oid from pg_rewrite rule
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = rule.oid
            and not (d.refclassid = 'pg_class'::regclass and d.refobjid = r.oid)
        where r.class = 'pg_class'::regclass and r.kind = 'v' and rule.ev_class = r.oid
        union all
        select r.class, i.inhrelid from pg_inherits i
        where r.class = 'pg_class'::regclass and r.kind in ('r', 'p', 'f') and i.inhparent = r.oid
        union all
        select d.refclassid, d.refobjid from pg_depend d
        where r.class <> 'pg_class'::regclass and d.classid = r.class and d.objid = r.oid
    ) next
    left join pg_class c on next.class = 'pg_class'::regclass and c.oid = next.oid
    where next.class in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass)
), reads as (
    select r.root,
        string_agg(concat_ws(':', c.oid, c.relfilenode, pg_stat_get_tuples_inserted(c.oid),
            pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid)), ' ' order by c.oid)
            filter (where c.relkind in ('r', 'm') and c.oid <> r.root) as counters,
        string_agg(concat_ws(':', c.oid, c.relkind, c.relowner, c.relrowsecurity, c.reloptions, rule.xmin), ' '
            order by c.oid) as versions,
        array_agg(c.oid::bigint) filter (where r.kind = 'v') as views,
        array_agg(format('%%s.%%s', n.nspname, c.relname)) filter (where c.oid <> r.root) as names,
        array_agg(format('%%s.%%s', n.nspname, c.relname)) filter (where not c.relispopulated and c.oid <> r.root)
            as unpopulated,
        bool_or(c.relkind not in ('r', 'm', 'p', 'v', 'i', 'c')) as uncounted,
        bool_or(c.relrowsecurity) as secured,
        bool_or(exists (select from pg_attribute a where a.attrelid = c.oid and a.attgenerated = 'v')) as virtual
    from reached r join pg_class c on c.oid = r.oid join pg_namespace n on n.oid = c.relnamespace
    left join pg_rewrite rule on rule.ev_class = c.oid and r.kind = 'v'
    where r.class = 'pg_class'::regclass group by r.root
), calls as (
    select r.root, string_agg(concat_ws(':', r.oid, p.xmin, o.xmin), ' ' order by r.class, r.oid) as versions,
        array_agg(p.oid::bigint) filter (where p.oid is not null) as functions
    from reached r left join pg_proc p on r.class = 'pg_proc'::regclass and p.oid = r.oid
    left join pg_operator o on r.class = 'pg_operator'::regclass and o.oid = r.oid
    where r.class <> 'pg_class'::regclass group by r.root
), database as (
    select d.oid, s.stats_reset from pg_database d left join pg_stat_database s on s.datid = d.oid
    where d.datname = current_database()
), sessions as (
    select bool_or(least(a.xact_start, a.query_start) < clock_timestamp() - %(lag)s::interval) as long,
        bool_or(a.state is null and a.xact_start is null and exists (
            select from pg_locks l where l.pid = a.pid and l.locktype = 'virtualxid')) as hidden
    from database, pg_stat_activity a
    where a.datid = database.oid and a.pid <> pg_backend_pid()
        and a.backend_type is distinct from 'autovacuum worker'
        and ((a.state <> 'idle' and a.backend_type = 'client backend') or a.xact_start is not null or a.state is null)
), settings as (
    select string_agg(current_setting(s.name, true), ' ' order by s.name) as here,
        (select string_agg(concat_ws(' ', setdatabase, setrole, setconfig), ' ' order by setdatabase, setrole)
            from pg_db_role_setting where setdatabase in (0, database.oid)) as given,
        (select bool_or(one like 'track_counts=%%') from pg_db_role_setting, unnest(setconfig) one) as counts
    from database, unnest(%(settings)s::text[]) as s(name) group by database.oid
)
select w.name, c.oid::bigint, n.nspname, c.relname, c.relkind::text,
    greatest(
        (select count(*) from wanted other where other.oid = w.oid),
        (select count(*) from pg_class same where same.relname = w.bare and same.relkind = 'm')),
    c.relispopulated,
    exists (
        select from pg_index i join pg_class ic on ic.oid = i.indexrelid join pg_am am on am.oid = ic.relam
        where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
            and am.amname = 'btree' and i.indnatts > 0 and 0 < all (i.indkey::smallint[])
    ),
    pg_has_role(c.relowner, 'usage') or (current_setting('server_version_num')::int >= 170000
        and has_table_privilege(c.oid, case when current_setting('server_version_num')::int >= 170000
            then 'maintain' else 'select' end)),
    concat_ws(' ', c.oid, pg_postmaster_start_time(), pg_stat_get_bgwriter_stat_reset_time(), database.stats_reset,
        settings.here, settings.given, reads.counters, reads.versions, calls.versions),
    md5(concat_ws(' ', reads.versions, calls.versions)), reads.views, calls.functions,
    case
        when reads.counters is null then 'it reads no table'
        when reads.uncounted then 'it reads data whose changes PostgreSQL does not count'
        when reads.secured then 'it reads a table with row security'
        when reads.virtual then 'it reads a table with virtual columns'
        when not current_setting('track_counts')::boolean or settings.counts then 'track_counts is off'
        when current_setting('server_version_num')::int < 150000 then 'before PostgreSQL 15 counts may be lost'
        else ''
    end,
    case
        when sessions.long then 'another session has worked for long; what it has changed may not be counted yet'
        when sessions.hidden
            then 'another session works, and the role may not see since when; grant it pg_read_all_stats'
        else ''
    end,
    array(select distinct u.name from reached r join wanted u on u.oid = r.oid
        where r.class = 'pg_class'::regclass and r.root = c.oid and r.oid <> c.oid),
    reads.names, reads.unpopulated, nullif(c.reltuples, -1)::bigint, pg_total_relation_size(c.oid)
from wanted w
cross join database cross join sessions cross join settings
left join pg_class c on c.oid = w.oid
left join pg_namespace n on n.oid = c.relnamespace
left join reads on reads.root = c.oid
left join calls on calls.root = c.oid
order by w.place
"""


def plan(connection: Connection[Any], names: Sequence[str]) -> list[Plan]:
    """The state of these views in the catalog, in their order."""
    values = {
        "names": list(names),
        "quoted": [quoted(name) for name in names],
        "bare": [parts(name)[0] if len(parts(name)) == 1 else None for name in names],
        "lag": LAG,
        "settings": list(SETTINGS),
    }
    return [_plan(*row) for row in connection.execute(QUERY, values).fetchall()]


def _plan(*row: Any) -> Plan:
    name, oid, schema, relation, kind, namesakes, populated, index, allowed, reading, definitions, *more = row
    relations, functions, opaque, unsettled, upstream, reads, unpopulated, rows, size = more
    return Plan(
        name=name,
        oid=oid,
        schema=schema or "",
        relation=relation or "",
        kind=kind or "",
        namesakes=namesakes,
        populated=bool(populated),
        unique_index=index,
        may_refresh=bool(allowed),
        fingerprint=reading,
        definitions=definitions,
        relations=tuple(relations or ()),
        functions=tuple(functions or ()),
        opaque=opaque,
        unsettled=unsettled,
        upstream=tuple(upstream),
        reads=tuple(reads or ()),
        unpopulated=tuple(unpopulated or ()),
        rows=rows,
        size=size,
    )


def survey(connection: Connection[Any], names: Sequence[str], proofs: MutableMapping[str, str]) -> list[Plan]:
    """The plans with proofs and generations added; `proofs` caches a proof until a definition changes."""
    rows = generations.rows(connection, names)
    plans = []
    for found in plan(connection, names):
        generation, age = rows.get(found.name, (None, None))
        opaque = found.opaque or _proven(connection, found, proofs)
        plans.append(replace(found, opaque=opaque, generation=generation, age=age))
    return plans


def _proven(connection: Connection[Any], found: Plan, proofs: MutableMapping[str, str]) -> str:
    """Why the view's query may change by itself; empty if it cannot."""
    if found.fault() is not None:
        return ""
    if found.definitions not in proofs:
        for old in list(proofs)[:-PROOFS]:
            proofs.pop(old, None)
        proofs[found.definitions] = proof.prove(connection, list(found.relations), list(found.functions))
    return proofs[found.definitions]
