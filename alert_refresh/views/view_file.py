"""VIEWS_CONFIG_FILE: settings of single views, in YAML.

views:
  - name: mv_entity_ancestors
    interval: 1m
    skip: false
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import yaml

from alert_refresh.engine import AttemptError
from alert_refresh.env import Env
from alert_refresh.files.read import READ_ONLY, read_descriptor, storage_error
from alert_refresh.mistakes import choose, part
from alert_refresh.schedules import TIMEZONE, cron
from alert_refresh.views.names import canonical

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


def read(
    path: Path, names: Sequence[str], general: ViewSettings, zone: str = "UTC"
) -> tuple[dict[str, ViewSettings], list[str]]:
    """The settings of the views in the file, and all its faults. `zone` is that of cron expressions."""
    try:
        entries = _entries(path)
    except BadFile as error:
        return {}, [str(error)]
    own: dict[str, ViewSettings] = {}
    faults: list[str] = []
    for number, (line, entry) in enumerate(entries, 1):
        found = list(_faults(entry, names, own))
        if not found:
            name = canonical(entry["name"])
            own[name], found = _settings(entry, general, zone)
        faults += [f"entry {number} in line {line}: {fault}" for fault in found]
    return own, faults


def _entries(path: Path) -> list[tuple[int, Any]]:
    """The list under `views`, each entry with its line.

    Raises:
        BadFile: there is none.
    """
    data = _content(path)
    try:
        root = yaml.compose(data, yaml.SafeLoader)
        nodes = _list_in(root)
        _no_repeats(root, *nodes)
        found = yaml.safe_load(data)["views"]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise BadFile("the file is not YAML" + (f", line {mark.line + 1}" if mark else "")) from None
    return [(node.start_mark.line + 1, one) for node, one in zip(nodes, found, strict=True)]


def _content(path: Path) -> bytes:
    """Raises BadFile: the file cannot be read, or is none."""
    try:
        return read_descriptor(os.open(path, READ_ONLY & ~os.O_NOFOLLOW), "the file", LARGEST)
    except OSError as error:
        raise BadFile(str(storage_error(error, "the file"))) from None
    except AttemptError as error:
        raise BadFile(str(error)) from None


def _list_in(root: yaml.Node | None) -> list[yaml.Node]:
    """The entries under the one key there is.

    Raises:
        BadFile: there is another key, or something else.
    """
    for key, _ in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value != "views":
            where = f"line {key.start_mark.line + 1}"
            raise BadFile(f"{where}: the key {part(str(key.value))} is unknown; views is the only one")
    lists = [value for _, value in root.value] if isinstance(root, yaml.MappingNode) else []
    if not lists or not isinstance(lists[0], yaml.SequenceNode):
        raise BadFile("the file must hold one key, views, with a list")
    return list(lists[0].value)


def _no_repeats(*nodes: yaml.Node | None) -> None:
    """Refuse a mapping in which a key comes twice."""
    for node in nodes:
        keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        seen = set()
        for key in keys:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise BadFile(f"line {key.start_mark.line + 1}: the key {part(key.value)} comes twice")
            seen.add(str(key.value))


def _faults(entry: Any, names: Sequence[str], own: dict[str, ViewSettings]) -> Iterator[str]:
    """Faults in the structure of one entry."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        yield "is not a mapping with a name"
        return
    for key, value in entry.items():
        if key not in KEYS:
            yield f"has the unknown key {part(str(key))}; known are {', '.join(KEYS)}{choose(str(key), KEYS)}"
        elif value is None or isinstance(value, list | dict):
            yield f"{key} has no value, or one of several parts"
    name, shown = canonical(entry["name"]), part(entry["name"])
    if name not in names:
        yield f"VIEWS does not name {shown}{choose(name, names)}"
    if name in own:
        yield f"{shown} comes twice"
    if "cron" in entry and "interval" in entry:
        yield "has both cron and interval; write one of them"


def _settings(entry: dict[str, Any], general: ViewSettings, zone: str) -> tuple[ViewSettings, list[str]]:
    """One view's settings over the general ones, and the faults of their values."""
    given = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in entry.items()}
    env = Env(given | {TIMEZONE: zone})
    changes: dict[str, Any] = {key: env.duration(key, "1s") for key in DURATIONS if key in given}
    if "interval" in given:
        changes["cron"] = None
    if "max_age" in given:
        changes["skip_max_age"] = env.duration("max_age", "1h", zero=True)
    if not env.boolean("skip", default=True):
        changes["skip_max_age"] = 0.0
    if "cron" in given:
        found = cron(env, "cron")
        if found is not None:
            changes |= {"cron": found, "interval": found.longest}
        elif not env.faults:
            env.fault("cron", "is empty")
    changes["analyze"] = env.boolean("analyze", default=general.analyze)
    return dataclasses.replace(general, **changes), [str(fault) for fault in env.faults]
