"""Views: PostgreSQL materialized views, refreshed in the order of their dependencies."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from alert_refresh.credential import MASK, Credential
from alert_refresh.engine import Kind, RefreshSettings

if TYPE_CHECKING:
    from alert_refresh.config import Env
    from alert_refresh.engine import Clock, Source
    from alert_refresh.views.postgres import PostgresSource

KIND = Kind(
    name="views",
    prefix="VIEWS_REFRESH_",
    error_types=("network", "timeout", "dns", "auth", "config", "storage", "parse", "unknown"),
    buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1200),
    serves=lambda state: state.refreshed_at is not None or not state.failed,
)

OFF = "set VIEWS_DATABASE_URL to the PostgreSQL database that holds the materialized views"

VIEWS = "mv_entity_ancestors,mv_descendant_counts,mv_entity_hierarchy_stats"

NAME = re.compile(r"[^\W\d][\w$]*(\.[^\W\d][\w$]*)?")
"""A view's name, or its schema's and its own, as they are in the catalog: nothing is folded to lower case."""

LONGEST_NAME = 63
"""Bytes of a PostgreSQL identifier."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the views; durations in seconds. `url` and `redis` are connection strings, None when not used."""

    refresh: RefreshSettings
    url: Credential | None
    views: tuple[str, ...]
    lock_timeout: float = 5.0
    statement_timeout: float = 300.0
    pool_max: int = 5
    skip_unchanged: bool = True
    history_retention: float = 30 * 86400.0
    redis: Credential | None = None
    cache_size: int = 100_000
    cache_lease: float = 0.05


def read(env: Env) -> Settings:
    """The views' settings; faults are left in `env`."""
    refresh = env.refresh(
        KIND.prefix,
        {
            "max_retries": "Retries after the first attempt of a refresh; a retry takes up the failed views only",
            "timeout": "Longest time of one attempt over all views",
        },
        interval="300s",
        rate_limit="0s",
        timeout="16m",
    )
    if not env.boolean(
        "VIEWS_REFRESH_ENABLED",
        "Start the automated service with the daemon; without it views are refreshed only when asked for",
        default=True,
    ):
        refresh = replace(refresh, paused=True)
    return Settings(
        refresh=refresh,
        url=_connection_string(
            env,
            "VIEWS_DATABASE_URL",
            "Connection string of the PostgreSQL database with the materialized views, URI or key=value; unset: "
            "views are off",
            "psycopg_pool",
            "postgres",
        ),
        views=_names(env),
        lock_timeout=env.duration("VIEWS_LOCK_TIMEOUT", "5s", "Longest wait for a lock, of a refresh and of a read"),
        statement_timeout=env.duration("VIEWS_STATEMENT_TIMEOUT", "5m", "Longest time of the refresh of one view"),
        pool_max=env.integer("VIEWS_POOL_MAX", 5, "Most connections that answer reads at once", minimum=1, maximum=100),
        skip_unchanged=env.boolean(
            "VIEWS_SKIP_UNCHANGED",
            "Let scheduled refreshes leave a view alone while nothing it reads has changed",
            default=True,
        ),
        history_retention=_days(
            env, "VIEWS_HISTORY_RETENTION", 30, "How long rows of refresh_metrics are kept, in days or as a duration"
        ),
        redis=_connection_string(
            env, "REDIS_URL", "Redis or Valkey that daemons share answers through; unset: memory only", "redis", "redis"
        ),
        cache_size=env.integer(
            "VIEWS_CACHE_SIZE", 100_000, "Most answers kept in memory", minimum=1, maximum=10_000_000
        ),
        cache_lease=env.duration(
            "VIEWS_CACHE_LEASE",
            "50ms",
            "How long a daemon answers from its caches before it looks again whether they are valid; every refresh "
            "takes that much longer",
            zero=True,
        ),
    )


def build(settings: Settings, clock: Clock) -> PostgresSource | None:
    """The source these settings name; None when views are off."""
    if settings.url is None:
        return None
    from alert_refresh.views.postgres import PostgresSource

    return PostgresSource(settings, clock)


def build_check(settings: Settings, _: Clock) -> Source[Any] | None:
    """What `alert-refresh check` reads instead: it must not refresh anything."""
    if settings.url is None:
        return None
    from alert_refresh.views.look import Look

    return Look(settings)


def name_fault(name: str) -> str | None:
    """What is wrong with a view's name as given, or None."""
    if not NAME.fullmatch(name):
        return "is neither NAME nor SCHEMA.NAME"
    if any(len(part.encode()) > LONGEST_NAME for part in name.split(".")):
        return f"has a part of more than {LONGEST_NAME} bytes"
    if name.startswith(("pg_catalog.", "information_schema.", "pg_toast.")):
        return "names a system schema"
    return None


def _names(env: Env) -> tuple[str, ...]:
    names = [
        name.strip()
        for name in env.text(
            "VIEWS", VIEWS, "Views to refresh, separated by commas, each NAME or SCHEMA.NAME exactly as in the catalog"
        ).split(",")
        if name.strip()
    ]
    if not names:
        env.fault("VIEWS", "names no view")
    if len(set(names)) < len(names):
        env.fault("VIEWS", "names a view twice")
    for name in names:
        if (fault := name_fault(name)) is not None:
            env.fault("VIEWS", f"{name!a} {fault}")
    return tuple(names)


def _connection_string(env: Env, name: str, means: str, module: str, extra: str) -> Credential | None:
    """A connection string, which may hold a password: it is never shown, nor is what a parser says of it."""
    env.note(name, "", means)
    text = env.peek(name).strip()
    if not text:
        return None
    env.effective[name] = MASK
    if importlib.util.find_spec(module) is None:
        env.fault(name, f"needs the extra {extra!r}, which is not installed: install requirements.lock", MASK)
    elif extra == "postgres":
        from alert_refresh.views.connection import is_dsn

        if not is_dsn(text):
            env.fault(name, "is not a PostgreSQL connection string such as postgresql://user@host/database", MASK)
    else:
        from alert_refresh.views.tiers.redis_cache import is_url

        if not is_url(text):
            env.fault(name, "is not a Redis URL such as redis://host:6379/0", MASK)
    return Credential(text)


def _days(env: Env, name: str, default: int, means: str) -> float:
    """Seconds, from whole days such as `30d` or from a duration."""
    text = env.text(name, f"{default}d", means)
    if re.fullmatch(r"[1-9][0-9]{0,4}d", text):
        return float(text[:-1]) * 86400
    return env.duration(name, f"{default * 24}h", means)
