"""Views: PostgreSQL materialized views, refreshed in the order of their dependencies."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from alert_refresh import durations, mistakes
from alert_refresh.credential import MASK, Credential
from alert_refresh.engine import Earliest
from alert_refresh.kind import Kind
from alert_refresh.schedules import timezone
from alert_refresh.views.names import BETWEEN, all_quoted, name_fault, parts, split
from alert_refresh.views.view_settings import ViewSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.engine import Clock, Cron, RefreshSettings, Source
    from alert_refresh.env import Env
    from alert_refresh.kind import Before
    from alert_refresh.views.source import PostgresSource


READ = ("mv_entity_ancestors", "mv_descendant_counts")
"""The views of the example schema from which entities are read."""

VIEWS = "mv_entity_ancestors,mv_descendant_counts,mv_entity_hierarchy_stats"


PREFIX = "VIEWS_REFRESH_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the views; durations in seconds. `url`, `read_url` and `redis` are connection strings, None when not
    used. `skip_max_age` is the longest time in which a view is skipped, 0 for never. `own` are the settings of single
    views, `cron` the schedule of those that have none of their own.
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
    cron: Cron | None = None

    def of(self, name: str) -> ViewSettings:
        """The settings of one view: its own, else the general ones."""
        return self.own.get(name) or ViewSettings(
            interval=self.refresh.interval,
            lock_timeout=self.lock_timeout,
            statement_timeout=self.statement_timeout,
            skip_max_age=self.skip_max_age if self.skip_unchanged else 0.0,
            cron=self.cron,
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

    own, faults = view_file.read(path, settings.views, settings.of(""), timezone(env))
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
    refresh = _refresh(env)
    cron = next(iter(refresh.schedule.crons), None) if isinstance(refresh.schedule, Earliest) else None
    return Settings(refresh, views=_names(env), cron=cron, **_database(env), **_changes(env), **_caches(env))


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


def build(settings: Settings, clock: Clock, _: Before) -> PostgresSource | None:
    """The source these settings name; None when views are off."""
    if settings.url is None:
        return None
    from alert_refresh.views.source import PostgresSource

    return PostgresSource(settings, clock)


def build_check(settings: Settings, clock: Clock, _: Before) -> Source[Any] | None:
    """The source that `alert-refresh check` reads instead: it refreshes nothing."""
    if settings.url is None:
        return None
    from alert_refresh.views.look import Look

    return Look(settings, clock)


def _names(env: Env) -> tuple[str, ...]:
    text = env.text(
        "VIEWS",
        VIEWS,
        "Views to refresh, separated by commas, each NAME or SCHEMA.NAME exactly as in the catalog, in "
        "double quotes where SQL needs them",
        quotes=True,
    )
    if all_quoted(text):
        env.fault("VIEWS", "is wrapped in quotation marks; they belong around single names that need them")
        text = text[1:-1]
    names = split(text)
    if not names:
        env.fault("VIEWS", "names no view")
    elif len(names) < len(BETWEEN.split(text)):
        env.warnings.append("VIEWS has an empty element, which is left out")
    for name in dict.fromkeys(one for one in names if names.count(one) > 1):
        env.fault("VIEWS", f"names {mistakes.part(name)} twice")
    for name in names:
        if (fault := name_fault(name)) is not None:
            env.fault("VIEWS", f"{mistakes.part(name)} {fault}")
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
    fault = mistakes.around(text) or mistakes.placeholder(text) or mistakes.invisible(text)
    if importlib.util.find_spec(module) is None:
        fault = f"needs the extra {extra!r}, which is not installed: install requirements.lock"
    elif fault is None and extra == "postgres":
        from alert_refresh.views.database.connect import fault_of

        fault = fault_of(text)
    elif fault is None:
        from alert_refresh.views.tiers import redis_cache

        fault = redis_cache.fault_of(text)
    if fault is not None:
        env.fault(name, fault, MASK)
    return Credential(text)


def _days(env: Env, name: str, default: int, means: str) -> float:
    """Seconds, from whole days such as `30d` or from a duration."""
    text = env.text(name, f"{default}d", means)
    try:
        days = re.fullmatch(r"([0-9]{1,20})d", text)
        seconds = float(days[1]) * 86400 if days else durations.parse(text)
    except ValueError:
        env.fault(name, "is neither whole days such as 30d nor a duration such as 12h")
        return default * 86400.0
    if seconds > durations.LONGEST:
        env.fault(name, "is longer than 292 years")
    if seconds <= 0:
        env.fault(name, "must be greater than 0")
    return seconds


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
    keep="alert_refresh.views.keep:ViewCodec",
    blueprint="alert_refresh.web.views.routes:build",
    fields="alert_refresh.web.views.uniform:compared",
    remarks="alert_refresh.views.view:remarks",
)
