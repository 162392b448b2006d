"""Settings about when: cron expressions and the time zone they count in, read with `Env`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Cron, CronError, Earliest
from alert_refresh.engine.cron import zone_of

if TYPE_CHECKING:
    from alert_refresh.env import Env

TIMEZONE = "ALERT_REFRESH_TIMEZONE"
UTC = "UTC"
SCHEDULE = "Cron expression, such as */5 * * * * or @daily, that takes the place of the interval and the warm-up"
SIMILAR = 0.7
"""How similar, from 0 to 1, the name of a time zone must be to be suggested."""


def timezone(env: Env) -> str:
    """The time zone of cron expressions, by its IANA name. Every kind asks; a fault is noted once."""
    if TIMEZONE not in env.defaults:
        before = len(env.faults)
        name = env.text(TIMEZONE, UTC, "Time zone of cron expressions, such as Europe/Berlin")
        if len(env.faults) == before and not is_zone(name):
            near = nearest_zone(name)
            env.fault(TIMEZONE, "is not a time zone" + (f"; did you mean {near}?" if near else ""))
    return UTC if any(fault.field == TIMEZONE for fault in env.faults) else env.effective[TIMEZONE]


def cron(env: Env, name: str, means: str = "") -> Cron | None:
    """A cron expression of five fields, or a word such as `@daily`, in the time zone; None when unset."""
    zone, before = timezone(env), len(env.faults)
    text = env.text(name, "", means)
    if not text or len(env.faults) > before:
        return None
    try:
        return Cron(text, zone)
    except CronError as error:
        env.fault(name, str(error))
        return None


def refresh_schedule(env: Env, prefix: str) -> dict[str, Any]:
    """What a cron expression under this prefix changes about the settings of a refresh: nothing without one."""
    name, interval = prefix + "SCHEDULE", prefix + "INTERVAL"
    found = cron(env, name, SCHEDULE)
    if env.peek(name).strip() and env.peek(interval).strip():
        env.fault(name, f"{interval} is set too; set one of them")
    if found is None:
        return {}
    for without_effect in (interval, prefix + "WARMUP"):
        env.effective.pop(without_effect, None)
    return {"schedule": Earliest((found,)), "interval": found.longest}


def is_zone(name: str) -> bool:
    """Whether there is a time zone of that name."""
    try:
        zone_of(name)
    except (KeyError, OSError, ValueError):
        return False
    return True


def nearest_zone(name: str) -> str | None:
    """The time zone that was probably meant: the same name in other letters, or that of its city, or a similar one."""
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    meant = name.lower().replace(" ", "_")
    zones = {one.lower(): one for one in sorted(available_timezones())}
    cities = {one.rpartition("/")[2]: one for one in zones if "/" in one}
    near = get_close_matches(meant, [*zones, *cities], 1, SIMILAR)
    return zones[cities.get(near[0], near[0])] if near else None
