"""The proof of a view's query: only what is known to be immutable and counted is ever skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alert_refresh.engine import Trigger
from alert_refresh.views import catalog
from alert_refresh.views.skip.node_tree import parse
from alert_refresh.views.skip.proof import collect
from alert_refresh.views.view import SETTLED, Mode
from tests.postgres import shared
from tests.stage import eventually
from tests.views.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alert_refresh.views.view import Plan

SETUP = """
create extension if not exists ltree;
create type mood as enum ('good', 'bad');
create type pair as (a int, b int);
create table t (id int, word text, at timestamptz, day date, feeling mood, duo pair, path ltree, price float8,
    doubled int generated always as (id * 2) virtual);
create table plain (id int, word text, at timestamptz, day date, feeling mood, duo pair, path ltree, price float8);
create table secured (id int); alter table secured enable row level security;
create function hidden(int) returns int immutable language sql as 'select $1';
create function deep(int) returns int immutable language plpgsql as 'begin return $1; end';
create function atomic(n int) returns bigint stable language sql begin atomic select count(*) from plain
    where id < n; end;
create function calling(n int) returns bigint language sql begin atomic select atomic(n) + 1; end;
create function clock(n int) returns bigint language sql
    begin atomic select extract(epoch from now())::bigint + n; end;
create operator === (leftarg = int, rightarg = int, function = int4eq);
create function same(int, int) returns boolean immutable language sql as 'select $1 = $2';
create operator ==== (leftarg = int, rightarg = int, function = same);
create aggregate own_sum (int) (sfunc = int4pl, stype = int);
create table parent (id int); create table child () inherits (parent);
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    database = shared().database()
    database.run(SETUP)
    with World(database, views=["mv"]) as world:
        yield world
    database.drop()


def opaque(world: World, query: str) -> str:
    return planned(world, query).opaque


def planned(world: World, query: str) -> Plan:
    with world.database.connect() as connection:
        connection.execute(b"drop materialized view if exists mv")
        connection.execute(f"create materialized view mv as {query}".encode())
        return catalog.survey(connection, ["mv"], {})[0]


@pytest.mark.parametrize(
    "query",
    [
        "select * from (select id, word from plain) q",
        "select id::text as name, word::varchar from plain",
        "select path::text from plain where path @> 'a.b'::ltree order by subpath(path, 0, 1)",
        "select feeling, count(*) from plain where feeling = 'good' group by feeling",
        "select case when id > 1 then 'many' else word end, coalesce(word, 'x'), nullif(id, 1) from plain",
        "select greatest(id, 2), array[id, 3], id in (1, 2), (id, word) = (1, 'x') as r, not (id = 1) as n from plain",
        "select row_number() over (partition by word order by id), sum(id) filter (where id > 1) over w from plain"
        " window w as (order by id)",
        "with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) select n, id from r, plain",
        "select id from plain union select id from parent except select 3",
        "select word, grouping(word), max(id) from plain group by grouping sets ((word), ())",
        "select distinct on (word) word, id from plain order by word, id limit 3",
        "select jsonb_agg(word) as a, json_build_object('n', id) as b, concat(id, 'x') as c from plain group by id",
        "select concat(id > 1 and id < 3, word is null) as c from plain",
        "select atomic(id) as n from plain",
        "select calling(id) as n from plain",
        "select id === 3 as same from plain",
        "select (select max(id) from parent) as m, exists (select from plain p where p.id = q.id) as e from plain q",
        'select (array[id, 2])[1] as first, id = any (array[1, 2]) as a, word is null as n, word collate "C" as c'
        " from plain",
    ],
)
def test_what_is_immutable_and_counted_is_proven(world: World, query: str) -> None:
    assert opaque(world, query) == ""


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("select id, ('now'::text)::date as day from plain", "it converts values by their text"),
        ("select id, at::text as at from plain", "it converts values by their text"),
        ("select feeling::text as word from plain", "it converts values by their text"),
        ("select concat(feeling, id) as word from plain", "it converts values by their text"),
        ("select jsonb_agg(at) as j from plain", "it converts values by their text"),
        ("select concat((select feeling from plain limit 1)) as c from plain", "it converts values by their text"),
        ("select (select max(at) from plain)::text as c from plain", "it converts values by their text"),
        ("select to_jsonb(duo) as j from plain", "it uses the type pair"),
        ("select row_to_json(p) as j from plain p", "it uses the type plain"),
        ("select id from plain where at > current_date", "it uses the current date, time or user"),
        ("select id, current_user as u from plain", "it uses the current date, time or user"),
        ("select id, at::date as day from plain", "it calls date(timestamp with time zone)"),
        ("select id, to_char(at, 'YYYY') as y from plain", "it calls to_char"),
        ("select id, date_trunc('day', at) as d from plain", "it calls date_trunc"),
        ("select id from plain where at < now()", "it calls now()"),
        ("select id from plain p where at > '2020-01-01'::date", "it calls"),
        ("select id, duo from plain", "it uses the type pair"),
        ("select doubled from t", "it reads a table with virtual columns"),
        ("select id from secured", "it reads a table with row security"),
        ("select id, hidden(id) as h from plain", "it calls hidden(integer), which is not built in"),
        ("select id, deep(id) as h from plain", "it calls deep(integer), which is not built in"),
        ("select id, clock(id) as h from plain", "it calls"),
        ("select id from plain where id ==== 3", "it calls same(integer,integer), which is not built in"),
        ("select own_sum(id) as s from plain", "it calls own_sum(integer), which is not built in"),
        ("select id, xmin::text as x from plain", "it reads a system column"),
        ("select relname, id from pg_class, plain", "it reads a system catalog"),
        ("select table_name::text as n, id from information_schema.tables, plain", "it"),
        ("select id from plain, pg_stat_activity", "it"),
        ("select id, to_tsvector('english', word) as v from plain", "it uses the type regconfig"),
        ("select id, word is json as x from plain", "it uses JSONISPREDICATE, which is not known"),
        ("select id from plain tablesample bernoulli (50)", "it uses a sample of a table"),
        ("select id, json_array(id) as j from plain", "it uses JSONCONSTRUCTOREXPR, which is not known"),
        ("select 1 as one", "it reads no table"),
    ],
)  # fmt: skip
def test_what_may_change_by_itself_is_never_skipped_and_the_reason_is_shown(
    world: World, query: str, reason: str
) -> None:
    assert opaque(world, query).startswith(reason)


@pytest.mark.parametrize(
    ("query", "change"),
    [
        ("select * from below", "create or replace view below as select id from plain where id < 99"),
        ("select * from below", "alter view below set (security_barrier = true)"),
        ("select atomic(id) as n from plain", "create or replace function atomic(n int) returns bigint stable"
         " language sql begin atomic select count(*) + 1 from plain where id < n; end"),
        ("select calling(id) as n from plain", "alter function atomic(int) volatile"),
        ("select id from parent", "create table another () inherits (parent)"),
        ("select id from parent", "alter table child no inherit parent"),
        ("select id from plain", "alter table plain enable row level security"),
        ("select id from plain", "alter table plain owner to pg_monitor"),
        ("select id from plain", "alter database {} set timezone = 'Asia/Tokyo'"),
        ("select id from plain", "truncate plain"),
    ],
)  # fmt: skip
def test_a_change_of_a_definition_or_setting_changes_the_fingerprint(world: World, query: str, change: str) -> None:
    world.database.run("create or replace view below as select id from plain where id < 2")
    before = planned(world, query)
    with world.database.connect() as connection:
        assert catalog.survey(connection, ["mv"], {})[0].fingerprint == before.fingerprint
    try:
        world.database.run(change.format(world.database.name))
        with world.database.connect() as connection:
            assert catalog.survey(connection, ["mv"], {})[0].fingerprint != before.fingerprint
    finally:
        world.database.run("alter table plain disable row level security", "alter table plain owner to postgres")


def test_a_proof_is_made_once_and_again_when_a_definition_changed(world: World) -> None:
    proofs: dict[str, str] = {}
    world.database.run("drop view if exists below cascade", "create view below as select id from plain")
    planned(world, "select * from below")
    with world.database.connect() as connection:
        catalog.survey(connection, ["mv"], proofs)
        catalog.survey(connection, ["mv"], proofs)
        assert list(proofs.values()) == [""]
        connection.execute("create or replace view below as select id from plain where at < now()")
        assert catalog.survey(connection, ["mv"], proofs)[0].opaque.startswith("it calls now()")
        for number in range(catalog.PROOFS + 5):
            proofs[str(number)] = ""
        connection.execute("create or replace view below as select id from plain where id < 3")
        catalog.survey(connection, ["mv"], proofs)
        assert len(proofs) <= catalog.PROOFS + 1


def test_a_function_that_writes_fails_the_proof() -> None:
    tree = parse("({QUERY :commandType 3 :rtable ({RTE :relid 16500})})")
    assert collect(tree).reason == "a function that it calls does more than read"


def test_a_column_named_like_a_field_of_the_tree_hides_nothing(world: World) -> None:
    assert opaque(world, 'select id as ":expr", now() as ":funcid" from plain as ":a"').startswith("it calls now()")


def test_a_statement_that_runs_for_long_elsewhere_may_hide_changes_and_nothing_is_skipped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.database.run("drop materialized view if exists mv", "create materialized view mv as select id from plain")
    monkeypatch.setattr(catalog, "LAG", "50 ms")
    with world.database.connect() as other, world.database.connect() as connection:
        assert catalog.survey(connection, ["mv"], {})[0].unsettled == ""
        other.execute("begin")
        eventually(lambda: "worked for long" in catalog.survey(connection, ["mv"], {})[0].unsettled, "it is open")
        other.execute("commit")
        assert catalog.survey(connection, ["mv"], {})[0].unsettled == ""


def test_a_procedure_that_commits_inside_one_call_is_noticed_although_each_transaction_is_young(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.database.run(
        "drop materialized view if exists mv", "create materialized view mv as select id from plain",
        "create or replace procedure looper() language plpgsql as $$ begin for i in 1..100 loop"
        " insert into plain (id) values (i); commit; perform pg_sleep(0.2); end loop; end $$",
    )  # fmt: skip
    monkeypatch.setattr(catalog, "LAG", "1 s")
    from tests.views.world import in_thread

    with world.database.connect() as other, world.database.connect() as connection:
        pid = other.info.backend_pid
        result = in_thread(lambda: other.execute("call looper()"))
        young = "select now() - xact_start < interval '1 s' from pg_stat_activity where pid = %s"
        eventually(
            lambda: (
                "worked for long" in catalog.survey(connection, ["mv"], {})[0].unsettled
                and connection.execute(young, [pid]).fetchone() == (True,)
            ),
            "it runs, in a young transaction",
        )
        connection.execute("select pg_terminate_backend(%s)", [pid])
        with pytest.raises(Exception, match="terminating"):
            result()


def test_a_session_whose_state_the_role_may_not_see_is_taken_for_one_that_works_for_long(world: World) -> None:
    role = f"blind_{world.database.name}"
    world.database.run(
        f"create role {role} login", "drop materialized view if exists mv",
        "create materialized view mv as select id from plain", f"alter materialized view mv owner to {role}",
    )  # fmt: skip
    try:
        with world.database.connect() as other, world.database.connect(role) as connection:
            assert catalog.survey(connection, ["mv"], {})[0].unsettled == ""
            other.execute("begin")
            other.execute("select 1")
            assert "pg_read_all_stats" in catalog.survey(connection, ["mv"], {})[0].unsettled
    finally:
        world.database.run("drop materialized view mv", f"drop role {role}")


def test_track_counts_that_is_off_for_a_role_makes_every_view_one_that_is_never_skipped(world: World) -> None:
    role = f"uncounted_{world.database.name}"
    world.database.run(f"create role {role}", f"alter role {role} set track_counts = off")
    try:
        assert opaque(world, "select id from plain") == "track_counts is off"
    finally:
        world.database.run(f"drop role {role}")


def test_a_view_that_is_skipped_is_refreshed_anyway_after_the_longest_time(world: World) -> None:
    world.database.run("drop materialized view if exists mv", "create materialized view mv as select id from plain")
    with World(world.database, views=["mv"], skip_max_age=600.0) as other:
        other.refresh(Trigger.STARTUP)
        other.clock.ahead += SETTLED + 1
        assert other.refresh(Trigger.PERIODIC)["mv"].mode is Mode.SKIPPED
        other.clock.ahead += 600
        assert other.refresh(Trigger.PERIODIC)["mv"].refreshed
        assert other.refresh(Trigger.PERIODIC)["mv"].mode is Mode.SKIPPED, "and skipped again"
    with World(world.database, views=["mv"], skip_max_age=0.0) as other:
        other.refresh(Trigger.STARTUP)
        other.clock.ahead += SETTLED + 1
        assert other.refresh(Trigger.PERIODIC)["mv"].refreshed, "0 is never"
