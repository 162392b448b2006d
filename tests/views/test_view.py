"""Decisions about views, without a database."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.views.names import name_fault, quoted
from alert_refresh.views.view import (
    SETTLED,
    Mode,
    Plan,
    Progress,
    Reading,
    ViewState,
    in_order,
    read_again,
    unchanged,
)


def plan(name: str = "v", **changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "name": name, "oid": 7, "schema": "public", "relation": name, "kind": "m",
        "populated": True, "unique_index": True, "fingerprint": "f",
    }  # fmt: skip
    return Plan(**fields | changes)


def test_a_relation_that_is_not_a_materialized_view_has_a_fault_that_names_its_kind() -> None:
    assert plan().fault() is None
    assert (plan(oid=None).fault() or "").startswith("there is no such view; write its name exactly as in the catalog")
    assert plan(kind="r").fault() == "it is a table, not a materialized view"
    assert plan(kind="i").fault() == "it is something else, not a materialized view"
    assert plan(schema="pg_catalog").fault() == "it is in a system schema"


@pytest.mark.parametrize(
    ("populated", "index", "mode"),
    [
        (True, True, Mode.CONCURRENT),
        (True, False, Mode.BLOCKING),
        (False, True, Mode.BLOCKING),
        (False, False, Mode.BLOCKING),
    ],
)
def test_a_refresh_is_concurrent_whenever_postgresql_can(populated: bool, index: bool, mode: Mode) -> None:
    found = plan(populated=populated, unique_index=index)
    assert found.mode() is mode
    assert bool(found.why_blocking()) is (mode is Mode.BLOCKING)


def test_the_statement_quotes_all_names() -> None:
    odd = plan(schema='s"x', relation='v"; drop table t;--')
    assert odd.statement(Mode.CONCURRENT).as_string(None) == (
        'refresh materialized view concurrently "s""x"."v""; drop table t;--"'
    )
    assert odd.statement(Mode.BLOCKING).as_string(None).startswith('refresh materialized view "s')


@given(st.integers(min_value=1, max_value=2**32 - 1))
def test_a_lock_key_is_a_signed_64_bit_number_of_its_own(oid: int) -> None:
    key = plan(oid=oid).lock_key()
    assert 0 < key < 2**63
    assert key & 0xFFFFFFFF == oid


names = st.sampled_from("abcdefgh")


@given(st.dictionaries(names, st.sets(names), min_size=1))
def test_every_view_is_listed_once_and_after_what_it_reads(reads: dict[str, set[str]]) -> None:
    acyclic = {name: tuple(sorted(one for one in up if one < name)) for name, up in reads.items()}
    ordered = [one.name for one in in_order([plan(name, upstream=up) for name, up in acyclic.items()])]
    assert sorted(ordered) == sorted(reads)
    for name, up in acyclic.items():
        assert all(ordered.index(one) < ordered.index(name) for one in up if one in reads)


def test_views_that_read_nothing_of_each_other_stay_in_their_order() -> None:
    assert [one.name for one in in_order([plan("c"), plan("a"), plan("b")])] == ["c", "a", "b"]


def test_a_view_is_left_alone_only_when_the_counters_have_read_the_same_for_long_enough() -> None:
    reading = Reading("f", since=100.0)
    late = 100.0 + SETTLED
    assert unchanged(plan(), reading, late, [])
    assert not unchanged(plan(), reading, late - 0.001, [])
    assert not unchanged(plan(), None, late, [])
    assert not unchanged(plan(fingerprint="g"), reading, late, [])
    assert not unchanged(plan(opaque="a foreign table"), reading, late, [])
    assert not unchanged(plan(populated=False), reading, late, [])
    assert not unchanged(plan(unsettled="another session works"), reading, late, [])
    assert not unchanged(plan(upstream=("w",)), reading, late, ["w"])
    assert unchanged(plan(upstream=("w",)), reading, late, ["x"])


def test_a_reading_ages_while_the_counters_are_unchanged_and_starts_again_when_they_change() -> None:
    first = read_again(plan(), None, 10.0)
    assert first == Reading("f", 10.0, 10.0)
    assert read_again(plan(), first, 50.0) == Reading("f", 10.0, 50.0)
    assert read_again(plan(fingerprint="g"), first, 50.0) == Reading("g", 50.0, 50.0)


def test_a_retry_refreshes_only_views_with_transient_failures() -> None:
    done = {
        "done": ViewState("done", Mode.CONCURRENT),
        "lost": ViewState("lost", Mode.FAILED, transient=True),
        "wrong": ViewState("wrong", Mode.FAILED),
        "busy": ViewState("busy", Mode.BUSY),
        "told": ViewState("told", Mode.FAILED, transient=True),
    }
    assert Progress(done, wanted=("wrong", "lost", "busy", "done", "new")).todo() == ["lost", "new", "told"]
    assert Progress(wanted=("a", "b")).todo() == ["a", "b"]


def test_a_payload_names_a_view_or_what_it_reads_with_or_without_the_schema() -> None:
    one = plan("mv", schema="s", relation="mv", reads=("public.t", "other.u"))
    for payload in ("mv", "s.mv", "t", "public.t", "u", "other.u", ""):
        assert one.named_in({payload, "else"}), payload
    assert not one.named_in({"public.u", "x"}) and not one.named_in(set())


letters = st.characters(categories=["L"])
others = st.characters(categories=["L", "N"], include_characters="_$")
parts = st.builds(str.__add__, letters, st.text(others, max_size=60)).filter(lambda part: len(part.encode()) <= 63)
accepted = st.one_of(parts, st.builds("{}.{}".format, parts.filter(lambda part: not part.startswith("pg_")), parts))


@given(accepted)
def test_a_name_that_is_accepted_can_be_quoted_without_escapes(name: str) -> None:
    assert name_fault(name) is None
    assert quoted(name).replace('"', "") == name


@given(accepted, st.sampled_from("\"'; \n\0-\\/\u2028"), st.data())
def test_a_name_with_anything_else_anywhere_is_refused(name: str, wrong: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(name)))
    assert name_fault(name[:place] + wrong + name[place:]) is not None
