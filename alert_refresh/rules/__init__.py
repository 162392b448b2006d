"""Rules, from a warm-storage file into a hot cache in memory.

This is the smallest complete kind, and the one to copy. The daemon reads `KIND`, at the end of this file; `source.py`
reads the file of rules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alert_refresh.engine import Adaptive, Never, RefreshSettings
from alert_refresh.kind import Kind
from alert_refresh.rules.log import log_cycle
from alert_refresh.rules.protection import PROTECTION

if TYPE_CHECKING:
    from pathlib import Path

    from alert_refresh.engine import Clock, Source
    from alert_refresh.env import Env
    from alert_refresh.kind import Before
    from alert_refresh.rules.rule import Rule


PREFIX = "RULES_REFRESH_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the rules. `interval` is the initial one in seconds, `capacity` the size of the hot cache.

    `file` None means off; with `state_directory` None nothing is kept across restarts.
    """

    refresh: RefreshSettings
    interval: float
    file: Path | None
    capacity: int
    state_directory: Path | None


def read(env: Env) -> Settings:
    """Read the settings of the rules; faults are collected in `env`."""
    refresh = env.refresh(
        PREFIX,
        {"timeout": "Longest time of one attempt, from reading to swapping"},
        interval="6h",
        rate_limit="1s",
        max_removal="50%",
    )
    interval = refresh.interval
    shortest = env.duration("RULES_REFRESH_ADAPTIVE_MIN", "1m", "Shortest time between periodic refreshes that adapt")
    longest = env.duration("RULES_REFRESH_ADAPTIVE_MAX", "24h", "Longest time between periodic refreshes that adapt")
    if shortest > longest:
        name, other = "RULES_REFRESH_ADAPTIVE_MIN", "RULES_REFRESH_ADAPTIVE_MAX"
        if not env.is_wrong(name, other):
            said = f"must not be greater than {other}, which is {env.effective[other]}"
            env.fault(name, said, env.effective[name])
        shortest = longest
    if env.boolean(
        "RULES_REFRESH_ADAPTIVE", "Refresh sooner after a change or an error, and later after neither", default=False
    ):
        interval = min(max(interval, shortest), longest)
        if refresh.schedule is not None:
            env.fault(PREFIX + "SCHEDULE", "RULES_REFRESH_ADAPTIVE is true, and adapts an interval; set one of them")
        schedule = Adaptive(shortest, longest, interval, refresh.warmup)
        refresh = replace(refresh, interval=longest, schedule=schedule)
    if not env.boolean(
        "RULES_REFRESH_ENABLED", "Refresh on a schedule; false: only when the file changes or a POST asks", default=True
    ):
        refresh = replace(refresh, schedule=Never())
    return Settings(
        refresh=refresh,
        interval=interval,
        file=env.path("RULES_FILE", "File of rules: warm, YAML, JSON or JSON lines; unset: rules are off"),
        capacity=env.integer("RULES_CACHE_CAPACITY", 10_000, "Rules that are kept hot", minimum=1, maximum=10_000_000),
        state_directory=env.state_directory(),
    )


def build(settings: Settings, clock: Clock, _: Before) -> Source[Rule] | None:
    """The source for these settings; None if rules are off."""
    if settings.file is None:
        return None
    from alert_refresh.rules.source import FileSource

    return FileSource(settings.file, settings, clock)


KIND = Kind(
    name="rules",
    prefix=PREFIX,
    error_types=("storage", "parse", "validate", "too_large", "timeout", "unknown"),
    listeners=(log_cycle,),
    protection=PROTECTION,
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10, 30, 60),
    read=read,
    build=build,
    enable_hint="set RULES_FILE to a file of rules",
    gates_readiness=True,
    metrics="alert_refresh.rules.metrics:RuleMetrics",
    blueprint="alert_refresh.web.rules.routes:build",
    plan="alert_refresh.rules.rule:compared",
    check="alert_refresh.rules.dangling:check",
    remarks="alert_refresh.rules.dangling:remarks",
    keep="alert_refresh.rules.keep:RuleCodec",
)
