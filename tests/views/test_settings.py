"""The views' settings: defaults, faults, and that no connection string shows."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from alert_refresh import views
from alert_refresh.engine import ConfigErrors, SystemClock
from alert_refresh.env import Env

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
    assert views.build(settings, SystemClock(), {}) is None


def test_a_database_switches_them_on_and_shows_nowhere() -> None:
    env = Env({"VIEWS_DATABASE_URL": DSN, "REDIS_URL": "redis://:canary@cache"})
    settings = views.read(env)
    assert not env.faults
    assert settings.url is not None and settings.url.reveal() == DSN
    assert "canary" not in repr(settings) + repr(env.effective) + repr(env.defaults)
    source = views.build(settings, SystemClock(), {})
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


NOT_REDIS = "is not a Redis URL such as redis://host:6379/0"
NOT_POSTGRES = "is not a PostgreSQL connection string such as postgresql://user@host/database"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("jdbc:postgresql://user:canary@host/db", NOT_POSTGRES),
        ("postgresql+psycopg2://user:canary@host/db", NOT_POSTGRES),
        ("mysql://user:canary@host/db", NOT_POSTGRES),
        ("postgresql://user:ca/nary@host/db", "has a port that is not from 1 to 65535; in a URI write @ : / %"),
        ("postgresql://user:canary@host:99999/db", "has a port that is not from 1 to 65535"),
        ("host=host port=abc password=canary", "has a port that is not from 1 to 65535"),
        ("postgresql://user:ca@nary@host/db", "has an @ in its host; in a URI write @ : / %"),
        ("postgresql://host/db?sslmode=required&password=canary", "has an sslmode that is none of disable, allow"),
        ("'postgresql://user:canary@host/db'", "is wrapped in quotation marks"),
        ("\ufeffpostgresql://user:canary@host/db", "begins with a byte order mark"),
        ("postgresql://${USER}:canary@host/db", "has a placeholder that was not filled in"),
        ("postgresql://user:canary@ho\u200bst/db", "has the invisible character U+200B"),
    ],
)
def test_the_mistake_in_a_connection_string_is_named_without_any_of_it(value: str, reason: str) -> None:
    for name in ("VIEWS_DATABASE_URL", "VIEWS_READ_URL"):
        (fault,) = read(**{name: value})[1].values()
        assert fault.startswith(f"*** {reason}")
        assert "nary" not in fault


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("host:6379", NOT_REDIS),
        ("redis://:ca/nary@host/0", NOT_REDIS),
        ("redis://:ca#nary@host/0", NOT_REDIS),
        ("redis://:canary@host/zero", "names a database that is not a number"),
        ("redis://:canary@host/-1", "names a database that is not a number"),
        ("redis://:canary@host,other/0", "names several hosts; one is used"),
        ('"redis://:canary@host/0"', "is wrapped in quotation marks"),
        ("redis://:$(PASSWORD)@host/0", "has a placeholder that was not filled in"),
    ],
)
def test_the_mistake_in_a_redis_url_is_named_without_any_of_it(value: str, reason: str) -> None:
    (fault,) = read(REDIS_URL=value)[1].values()
    assert fault.startswith(f"*** {reason}") and "nary" not in fault


@pytest.mark.parametrize(
    "dsn",
    ["postgresql://a:1,b:2/db", "postgresql://[::1]:5432/db", "postgresql://u:p%40w@host/db", "service=mine",
     "postgresql:///db?host=/run/a@b", "postgresql://u:p$w<x>@host/db", "postgresql://host/db?sslmode=verify-full"],
)  # fmt: skip
def test_odd_connection_strings_that_are_right_are_left_alone(dsn: str) -> None:
    assert not read(VIEWS_DATABASE_URL=dsn)[1]


@pytest.mark.parametrize(
    "url", ["redis://", "rediss://:p%40w@host:6379/2", "unix:///run/redis.sock?db=1", "redis://h/"]
)
def test_odd_redis_urls_that_are_right_are_left_alone(url: str) -> None:
    assert not read(REDIS_URL=url)[1]


@pytest.mark.parametrize("names", ['"sales-2024"', '"sales-2024","b c"', '"mv_a"', '"a,b"."c"', 'mv_a,"b"'])
def test_names_in_double_quotes_may_be_all_there_is(names: str) -> None:
    assert not read(VIEWS=names)[1]


@pytest.mark.parametrize("names", ['"mv_a,mv_b"', '"public.mv_a, mv_b"', "'mv_a'", "'mv_a,mv_b'"])
def test_quotes_around_a_list_of_names_that_need_none_are_named(names: str) -> None:
    assert read(VIEWS=names)[1] == {
        "VIEWS": f"{names} is wrapped in quotation marks; they belong around single names that need them"
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("30", "is neither whole days such as 30d nor a duration such as 12h"),
        ("1w", "is neither whole days such as 30d nor a duration such as 12h"),
        ("1d12h", "is neither whole days such as 30d nor a duration such as 12h"),
        ("0d", "must be greater than 0"),
        ("0s", "must be greater than 0"),
        ("106752d", "is longer than 292 years"),
    ],
)
def test_a_retention_that_is_wrong_says_that_days_are_right(text: str, reason: str) -> None:
    assert read(VIEWS_HISTORY_RETENTION=text)[1] == {"VIEWS_HISTORY_RETENTION": f"{text} {reason}"}


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
