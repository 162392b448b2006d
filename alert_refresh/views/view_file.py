"""VIEWS_CONFIG_FILE: settings of single views, in YAML.

views:
  - name: mv_entity_ancestors
    interval: 1m
    skip: false
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import yaml

from alert_refresh.config import Env
from alert_refresh.views.names import canonical
from alert_refresh.views.view_settings import Cron

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from alert_refresh.views.view_settings import ViewSettings

LARGEST = 65536
"""Bytes of the file."""

DURATIONS = ("interval", "lock_timeout", "statement_timeout")
KEYS = ("name", "cron", *DURATIONS, "max_age", "skip", "analyze")


class BadFile(Exception):
    """Raised when the file is invalid; the message says where."""


def read(path: Path, names: Sequence[str], general: ViewSettings) -> tuple[dict[str, ViewSettings], list[str]]:
    """The settings of the views in the file, and all its faults."""
    try:
        entries = _entries(path)
    except BadFile as error:
        return {}, [str(error)]
    own: dict[str, ViewSettings] = {}
    faults: list[str] = []
    for number, entry in enumerate(entries, 1):
        found = list(_faults(entry, names, own))
        if not found:
            name = canonical(entry["name"])
            own[name], found = _settings(entry, general)
        faults += [f"entry {number}: {fault}" for fault in found]
    return own, faults


def _entries(path: Path) -> list[Any]:
    """The list under `views`.

    Raises:
        BadFile: there is none.
    """
    try:
        data = path.read_bytes()[: LARGEST + 1]
    except OSError as error:
        raise BadFile(f"the file cannot be read ({type(error).__name__})") from None
    if len(data) > LARGEST:
        raise BadFile(f"the file is larger than {LARGEST} bytes")
    try:
        root = yaml.compose(data, yaml.SafeLoader)
        _no_repeats(root)
        found = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise BadFile("the file is not YAML" + (f", line {mark.line + 1}" if mark else "")) from None
    if not isinstance(found, dict) or list(found) != ["views"] or not isinstance(found["views"], list):
        raise BadFile("the file must hold one key, views, with a list")
    return found["views"]


def _no_repeats(node: yaml.Node | None) -> None:
    """Refuse a mapping in which a key comes twice."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise BadFile(f"the key {key!a} comes twice, line {node.start_mark.line + 1}")
        for _, value in node.value:
            _no_repeats(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _no_repeats(value)


def _faults(entry: Any, names: Sequence[str], own: dict[str, ViewSettings]) -> Iterator[str]:
    """Faults in the structure of one entry."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        yield "is not a mapping with a name"
        return
    yield from (f"unknown key {key!a}; known are {', '.join(KEYS)}" for key in entry if key not in KEYS)
    name = canonical(entry["name"])
    if name not in names:
        yield f"VIEWS does not name {entry['name']!a}"
    if name in own:
        yield f"{entry['name']!a} comes twice"
    if "cron" in entry and "interval" in entry:
        yield "has both cron and interval"


def _settings(entry: dict[str, Any], general: ViewSettings) -> tuple[ViewSettings, list[str]]:
    """One view's settings over the general ones, and the faults of their values."""
    given = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in entry.items()}
    env = Env(given)
    changes: dict[str, Any] = {key: env.duration(key, "1s") for key in DURATIONS if key in given}
    if "max_age" in given:
        changes["skip_max_age"] = env.duration("max_age", "1h", zero=True)
    if not env.boolean("skip", default=True):
        changes["skip_max_age"] = 0.0
    if "cron" in given:
        try:
            changes["cron"] = Cron(given["cron"])
            changes["interval"] = changes["cron"].longest()
        except ValueError:
            env.fault("cron", "is not a cron expression such as */5 * * * *")
    changes["analyze"] = env.boolean("analyze", default=general.analyze)
    return dataclasses.replace(general, **changes), [f"{fault.field} {fault.reason}" for fault in env.faults]
