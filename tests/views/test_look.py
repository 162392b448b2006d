"""`alert-refresh check` looks at the views and refreshes none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alert_refresh.cli.check import check_sources
from alert_refresh.daemon import read_config
from alert_refresh.views import catalog
from tests.postgres import hierarchy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database


@pytest.fixture
def database() -> Iterator[Database]:
    database = hierarchy()
    yield database
    database.drop()


def views(dsn: str, **more: str) -> dict[str, object]:
    found = check_sources(read_config({"VIEWS_DATABASE_URL": dsn, **more}))
    return next(entry for entry in found if entry["kind"] == "views")


def test_a_check_reads_the_catalog_and_changes_nothing(database: Database) -> None:
    database.run("insert into entities (name, kind, path) values ('new', 'service', 'e1.new')")
    entry = views(database.dsn())
    assert (entry["items"], entry["error"], entry["rejected"]) == (3, None, [])
    assert database.value("select count(*) from mv_entity_ancestors where entity_path = 'e1.new'") == 0
    assert database.value("select to_regclass('refresh_metrics') is null")


def test_a_check_names_invalid_views_and_an_unavailable_database(database: Database) -> None:
    entry = views(database.dsn(), VIEWS="entities,mv_descendant_counts")
    assert entry["items"] == 1
    assert entry["rejected"] == [
        {
            "source": {"view": "entities"},
            "faults": [{"field": "view", "message": "it is a table, not a materialized view"}],
        }
    ]
    assert views("host=/nowhere password=canary")["error_type"] == "network"


def test_a_check_whose_look_at_the_catalog_fails_says_why(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "QUERY", "select 1 / 0")
    assert "22012" in str(views(database.dsn())["error"])
