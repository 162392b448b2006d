"""Views: PostgreSQL materialized views, refreshed in the order of their dependencies."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from alert_refresh.credential import MASK, Credential
from alert_refresh.kind import Kind
from alert_refresh.views.names import name_fault, parts, split
from alert_refresh.views.view_settings import Earliest, ViewSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.config import Env
    from alert_refresh.engine import Clock, RefreshSettings, Source
    from alert_refresh.views.source import PostgresSource


READ = ("mv_entity_ancestors", "mv_descendant_counts")
"""The views of the example schema from which entities are read."""

VIEWS = "mv_entity_ancestors,mv_descendant_counts,mv_entity_hierarchy_stats"


PREFIX = "VIEWS_REFRESH_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the views; durations in seconds. `url`, `read_url` and `redis` are connection strings, None when not
    used. `skip_max_age` is the longest time in which a view is skipped, 0 for never. `own` are the settings of single
    views.
    """

    refresh: RefreshSettings
    url: Credential | None
    views: tuple[str, ...]
    lock_timeout: float = 5.0
    statement_timeout: float = 300.0
    pool_max: int = 5
    skip_unchanged: bool = True
    skip_max_age: float = 3600.0
    history_retention: float = 30 * 86400.0
    redis: Credential | None = None
    cache_size: int = 100_000
    cache_lease: float = 0.05
    read_url: Credential | None = None
    notify_debounce: float = 1.0
    own: Mapping[str, ViewSettings] = field(default_factory=dict)

    def of(self, name: str) -> ViewSettings:
        """The settings of one view: its own, else the general ones."""
        return self.own.get(name) or ViewSettings(
            interval=self.refresh.interval,
            lock_timeout=self.lock_timeout,
            statement_timeout=self.statement_timeout,
            skip_max_age=self.skip_max_age if self.skip_unchanged else 0.0,
        )


def read(env: Env) -> Settings:
    """The views' settings; faults are left in `env`."""
    settings = _general(env)
    path = env.path(
        "VIEWS_CONFIG_FILE",
        "YAML file with settings of single views: interval or cron, skip, max_age, lock_timeout, "
        "statement_timeout, analyze",
    )
    if path is None:
        return settings
    from alert_refresh.views import view_file

    own, faults = view_file.read(path, settings.views, settings.of(""))
    for fault in faults:
        env.fault("VIEWS_CONFIG_FILE", fault)
    if faults:
        return settings
    own = {name: own.get(name) or settings.of(name) for name in settings.views}
    schedule = Earliest(tuple({one.schedule(settings.refresh.warmup) for one in own.values()}))
    interval = min((one.interval for one in own.values()), default=settings.refresh.interval)  # VIEWS may name none
    return replace(settings, own=own, refresh=replace(settings.refresh, schedule=schedule, interval=interval))


def _general(env: Env) -> Settings:
    """The settings of all views, without those of single ones."""
    return Settings(refresh=_refresh(env), views=_names(env), **_database(env), **_changes(env), **_caches(env))


def _refresh(env: Env) -> RefreshSettings:
    refresh = env.refresh(
        PREFIX,
        {
            "max_retries": "Retries after the first attempt of a refresh; a retry takes up the failed views and what "
            "reads them",
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
    return refresh


def _database(env: Env) -> dict[str, Any]:
    """The connections to PostgreSQL, and their timeouts."""
    return {
        "url": _connection_string(
            env,
            "VIEWS_DATABASE_URL",
            "Connection string of the PostgreSQL database with the materialized views, URI or key=value; unset: "
            "views are off",
            "psycopg_pool",
            "postgres",
        ),
        "lock_timeout": env.duration("VIEWS_LOCK_TIMEOUT", "5s", "Longest wait for a lock, of a refresh and of a read"),
        "statement_timeout": env.duration("VIEWS_STATEMENT_TIMEOUT", "5m", "Longest time of the refresh of one view"),
        "pool_max": env.integer(
            "VIEWS_POOL_MAX", 5, "Most connections that answer reads at once", minimum=1, maximum=100
        ),
        "read_url": _connection_string(
            env,
            "VIEWS_READ_URL",
            "Connection string for the reads, which may lead through a pooler in transaction mode; unset: "
            "VIEWS_DATABASE_URL",
            "psycopg_pool",
            "postgres",
        ),
    }


def _changes(env: Env) -> dict[str, Any]:
    """When a refresh is due or may be skipped, and how long its history is kept."""
    return {
        "skip_unchanged": env.boolean(
            "VIEWS_SKIP_UNCHANGED",
            "Let scheduled refreshes leave a view alone while it is proven that nothing it reads has changed",
            default=True,
        ),
        "skip_max_age": env.duration(
            "VIEWS_SKIP_MAX_AGE",
            "1h",
            "Refresh a view at least this often although nothing it reads has changed; 0 never skips",
            zero=True,
        ),
        "notify_debounce": env.duration(
            "VIEWS_NOTIFY_DEBOUNCE",
            "1s",
            "Notifications on the channel alert_refresh that come within this time make one refresh",
        ),
        "history_retention": _days(
            env, "VIEWS_HISTORY_RETENTION", 30, "How long rows of refresh_metrics are kept, in days or as a duration"
        ),
    }


def _caches(env: Env) -> dict[str, Any]:
    """The caches of the reads."""
    return {
        "redis": _connection_string(
            env, "REDIS_URL", "Redis or Valkey that daemons share answers through; unset: memory only", "redis", "redis"
        ),
        "cache_size": env.integer(
            "VIEWS_CACHE_SIZE", 100_000, "Most answers kept in memory", minimum=1, maximum=10_000_000
        ),
        "cache_lease": env.duration(
            "VIEWS_CACHE_LEASE",
            "50ms",
            "How long a daemon answers from its caches before it looks again whether they are valid; every "
            "refresh takes that much longer",
            zero=True,
        ),
    }


def build(settings: Settings, clock: Clock) -> PostgresSource | None:
    """The source these settings name; None when views are off."""
    if settings.url is None:
        return None
    from alert_refresh.views.source import PostgresSource

    return PostgresSource(settings, clock)


def build_check(settings: Settings, clock: Clock) -> Source[Any] | None:
    """The source that `alert-refresh check` reads instead: it refreshes nothing."""
    if settings.url is None:
        return None
    from alert_refresh.views.look import Look

    return Look(settings, clock)


def _names(env: Env) -> tuple[str, ...]:
    names = split(
        env.text(
            "VIEWS",
            VIEWS,
            "Views to refresh, separated by commas, each NAME or SCHEMA.NAME exactly as in the catalog, in "
            "double quotes where SQL needs them",
        )
    )
    if not names:
        env.fault("VIEWS", "names no view")
    if len(set(names)) < len(names):
        env.fault("VIEWS", "names a view twice")
    for name in names:
        if (fault := name_fault(name)) is not None:
            env.fault("VIEWS", f"{name!a} {fault}")
    own = [parts(name)[-1] for name in names]
    for name in READ:
        if own.count(name) > 1:
            env.fault("VIEWS", f"names {name} in two schemas; the reads need a unique name")
    return tuple(names)


def _connection_string(env: Env, name: str, means: str, module: str, extra: str) -> Credential | None:
    """A connection string, which may contain a password: neither it nor a parser's message about it is shown."""
    env.note(name, "", means)
    text = env.peek(name).strip()
    if not text:
        return None
    env.effective[name] = MASK
    if importlib.util.find_spec(module) is None:
        env.fault(name, f"needs the extra {extra!r}, which is not installed: install requirements.lock", MASK)
    elif extra == "postgres":
        from alert_refresh.views.database.connect import is_dsn

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


KIND = Kind(
    name="views",
    prefix=PREFIX,
    error_types=("network", "timeout", "dns", "auth", "config", "storage", "parse", "unknown"),
    buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1200),
    serves=lambda state: state.refreshed_at is not None or not state.failed,
    read=read,
    build=build,
    build_check=build_check,
    enable_hint="set VIEWS_DATABASE_URL to the PostgreSQL database that holds the materialized views",
    metrics="alert_refresh.views.metrics:ViewMetrics",
    blueprint="alert_refresh.web.views.routes:build",
)
