"""The views' settings: defaults, faults, and that no connection string shows."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from alert_refresh import views
from alert_refresh.config import Env
from alert_refresh.engine import ConfigErrors, SystemClock

DSN = "postgresql://someone:canary@db.example:5432/entities"


def read(**environ: str) -> tuple[views.Settings, dict[str, str]]:
    env = Env(environ)
    settings = views.read(env)
    return settings, {fault.field: f"{fault.value} {fault.reason}" for fault in env.faults}


def test_the_defaults_are_the_documented_ones() -> None:
    settings, faults = read()
    assert not faults
    assert settings.url is None and settings.redis is None
    assert settings.views == ("mv_entity_ancestors", "mv_descendant_counts", "mv_entity_hierarchy_stats")
    assert (settings.lock_timeout, settings.statement_timeout, settings.pool_max) == (5, 300, 5)
    assert settings.skip_unchanged and not settings.refresh.paused
    assert settings.history_retention == 30 * 86400
    refresh = settings.refresh
    assert (refresh.interval, refresh.timeout, refresh.rate_limit) == (300, 960, 0)
    assert (refresh.max_retries, refresh.base_backoff, refresh.max_backoff, refresh.warmup) == (5, 30, 300, 30)
    assert views.build(settings, SystemClock()) is None


def test_a_database_switches_them_on_and_shows_nowhere() -> None:
    env = Env({"VIEWS_DATABASE_URL": DSN, "REDIS_URL": "redis://:canary@cache"})
    settings = views.read(env)
    assert not env.faults
    assert settings.url is not None and settings.url.reveal() == DSN
    assert "canary" not in repr(settings) + repr(env.effective) + repr(env.defaults)
    source = views.build(settings, SystemClock())
    assert source is not None and source.name == "postgres"
    source.close()


@pytest.mark.parametrize("dsn", ["host=/run dbname=x password='with space'", "postgresql:///x?host=/run", DSN])
def test_both_forms_of_a_connection_string_are_good(dsn: str) -> None:
    assert not read(VIEWS_DATABASE_URL=dsn)[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VIEWS_DATABASE_URL", "postgresql://x:canary@host/db?passwrd=canary"),
        ("VIEWS_DATABASE_URL", "canary"),
        ("REDIS_URL", "http://canary"),
        ("REDIS_URL", "redis://host/db?socket_timeout=canary"),
        ("VIEWS", "a.b.c"),
        ("VIEWS", "mv_a,mv_a"),
        ("VIEWS", 'mv_a,"mv_a"'),
        ("VIEWS", "a.mv_entity_ancestors,b.mv_entity_ancestors"),
        ("VIEWS", 'mv_a,"open'),
        ("VIEWS_SKIP_MAX_AGE", "soon"),
        ("VIEWS_READ_URL", "postgresql://x:canary@host/db?passwrd=canary"),
        ("VIEWS", ","),
        ("VIEWS", "x" * 64),
        ("VIEWS", "pg_catalog.pg_class"),
        ("VIEWS_LOCK_TIMEOUT", "0s"),
        ("VIEWS_POOL_MAX", "0"),
        ("VIEWS_HISTORY_RETENTION", "0d"),
        ("VIEWS_HISTORY_RETENTION", "soon"),
        ("VIEWS_SKIP_UNCHANGED", "maybe"),
        ("VIEWS_REFRESH_INTERVAL", "0s"),
    ],
)
def test_a_wrong_value_is_a_fault_that_names_it_and_hides_what_is_secret(name: str, value: str) -> None:
    _, faults = read(**{name: value})
    assert list(faults) == [name]
    assert "canary" not in faults[name]


@pytest.mark.parametrize(("text", "seconds"), [("7d", 7 * 86400), ("12h", 43200), ("90m", 5400)])
def test_the_retention_is_in_days_or_a_duration(text: str, seconds: float) -> None:
    assert read(VIEWS_HISTORY_RETENTION=text)[0].history_retention == seconds


@pytest.mark.parametrize(("name", "extra"), [("VIEWS_DATABASE_URL", "postgres"), ("REDIS_URL", "redis")])
def test_without_the_extra_the_fault_names_it(name: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def find(module: str, *arguments: Any) -> Any:
        return None if module in ("psycopg_pool", "redis") else found(module, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    _, faults = read(**{name: "redis://x" if extra == "redis" else DSN})
    assert f"needs the extra '{extra}', which is not installed" in faults[name]
    assert "pip install alert" not in faults[name]  # that name on the index is not this program


def test_a_misspelt_setting_stops_the_start() -> None:
    from alert_refresh.daemon import read_config

    with pytest.raises(ConfigErrors, match="VIEWS_REFRESH_INTERVALL"):
        read_config({"VIEWS_REFRESH_INTERVALL": "5m"})
